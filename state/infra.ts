import type { EndpointRecord } from "./kinds/endpoint.ts";

/** Container id of the endpoints that a node itself has in infra networks; their interface is the device on the node. */
export function infraContainerId(nodeName: string): string {
  return `infra.${nodeName}`;
}

/** True for an endpoint that is its node's own, and no container's. */
export function isInfraEndpoint({ containerId, nodeName }: EndpointRecord): boolean {
  return containerId === infraContainerId(nodeName);
}
