/** One interface of one container, as its runtime calls it. */
export interface ContainerInterface {
  readonly containerId: string;
  readonly ifName: string;
}

/** Key of the endpoint of a container's interface; never parsed back. */
export function endpointKeyOf({ containerId, ifName }: ContainerInterface): string {
  return `${containerId}:${ifName}`;
}

/** Its id in the REST API. */
export function endpointIdOf({ containerId, ifName }: ContainerInterface): string {
  return ifName === "eth0" ? containerId : `${containerId}-${ifName}`;
}

/**
 * The same interface where another node has an endpoint for that container id already: the id is told apart by its node. "@" can stand
 * neither in a container id nor in a tenant's name, with which the other keys begin.
 */
export function atNode({ containerId, ifName }: ContainerInterface, nodeName: string): ContainerInterface {
  return { containerId: `${containerId}@${nodeName}`, ifName };
}

/** Every key that an interface's endpoint can have on that node. */
export function endpointKeysOf(wanted: ContainerInterface, nodeName: string): readonly [string, string] {
  return [endpointKeyOf(wanted), endpointKeyOf(atNode(wanted, nodeName))];
}
