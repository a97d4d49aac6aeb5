import type { EndpointRecord } from "../../state/kinds/endpoint.ts";

export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** Reads `namespace/pod`, as the connection list and Kubernetes' tools write it. */
export function namespacedPod(text: string): PodName | undefined {
  const [namespace = "", name = "", ...rest] = text.split("/");
  return namespace === "" || name === "" || rest.length > 0 ? undefined : { namespace, name };
}

export function isPod({ podName, podNamespace }: EndpointRecord, pod: PodName | undefined): boolean {
  return pod !== undefined && podName === pod.name && podNamespace === pod.namespace;
}
