import { deadline } from "../../state/deadline.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import {
  type EndpointRelease,
  EndpointReply,
  type EndpointRequest,
  type Heartbeat,
  HeartbeatReply,
  NODE_API_VERSION,
  RegisterReply,
  ReleaseReply,
} from "../../state/node-api.ts";
import type { Transport } from "./transport.ts";

/** What a node asks of netmaster. Every call ends within its deadline; UNAVAILABLE means "ask again later". */
export interface NodeClient {
  register(registration: NodeRegistration, signal: AbortSignal): Promise<RegisterReply>;
  heartbeat(heartbeat: Heartbeat, signal: AbortSignal): Promise<HeartbeatReply>;
  createEndpoint(request: EndpointRequest, signal: AbortSignal): Promise<EndpointReply>;
  releaseEndpoint(release: EndpointRelease, signal: AbortSignal): Promise<ReleaseReply>;
}

const REGISTER_TIMEOUT_MS = 10_000;
const HEARTBEAT_TIMEOUT_MS = 5_000;
/** A change of leader takes up to 5 s; an ADD waits that out. */
const ENDPOINT_TIMEOUT_MS = 15_000;
const RELEASE_TIMEOUT_MS = 5_000;

/** Path of this node's part of the node API. */
export function nodePath(nodeName: string): string {
  return `/node/${NODE_API_VERSION}/nodes/${encodeURIComponent(nodeName)}`;
}

export function createNodeClient(transport: Transport, nodeName: string): NodeClient {
  const base = nodePath(nodeName);
  const post = async (path: string, body: unknown, caller: AbortSignal, timeoutMs: number) => {
    using limit = deadline(timeoutMs, caller);
    return await transport.call(`${base}${path}`, body, { signal: limit.signal, timeoutMs });
  };
  return {
    register: async (registration, signal) =>
      RegisterReply.parse(await post("/register", registration, signal, REGISTER_TIMEOUT_MS)),
    heartbeat: async (heartbeat, signal) =>
      HeartbeatReply.parse(await post("/heartbeat", heartbeat, signal, HEARTBEAT_TIMEOUT_MS)),
    createEndpoint: async (request, signal) =>
      EndpointReply.parse(await post("/endpoints", request, signal, ENDPOINT_TIMEOUT_MS)),
    releaseEndpoint: async (release, signal) =>
      ReleaseReply.parse(await post("/endpoints/release", release, signal, RELEASE_TIMEOUT_MS)),
  };
}
