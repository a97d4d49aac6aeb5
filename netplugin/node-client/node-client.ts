import { NetError } from "../../state/errors.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import {
  type EndpointOffer,
  type EndpointRelease,
  type EndpointReleases,
  EndpointReply,
  type EndpointRequest,
  type Heartbeat,
  HeartbeatReply,
  NODE_API_VERSION,
  RegisterReply,
  ReleaseReply,
} from "../../state/node-api.ts";
import { deadline } from "../../state/waiting/deadline.ts";
import { retry } from "../../state/waiting/repeat.ts";
import type { Transport } from "./transport.ts";

/** What a node asks of netmaster. Every call ends within its deadline; UNAVAILABLE means "ask again later". */
export interface NodeClient {
  register(registration: NodeRegistration, signal: AbortSignal): Promise<RegisterReply>;
  heartbeat(heartbeat: Heartbeat, signal: AbortSignal): Promise<HeartbeatReply>;
  createEndpoint(request: EndpointRequest, signal: AbortSignal): Promise<EndpointReply>;
  /** A pod lives whose lease the store has lost. */
  offerEndpoint(offer: EndpointOffer, signal: AbortSignal): Promise<EndpointReply>;
  /** Ends leases, in one call where netmaster can; of none is nothing to be done. */
  releaseEndpoints(releases: readonly EndpointRelease[], signal: AbortSignal): Promise<void>;
}

const REGISTER_TIMEOUT_MS = 10_000;
const HEARTBEAT_TIMEOUT_MS = 5_000;
const ENDPOINT_TIMEOUT_MS = 15_000;
/** A change of leader takes up to 5 s, and in a new epoch of the store the nodes are heard first; an ADD waits that out: it asks again, which is the same as asking once. */
const LEADER_CHANGE_MS = 12_000;
const ASK_AGAIN_MS = 250;
const OFFER_TIMEOUT_MS = 5_000;
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
    createEndpoint: (request, signal) =>
      whileNoLeader(signal, async () =>
        EndpointReply.parse(await post("/endpoints", request, signal, ENDPOINT_TIMEOUT_MS)),
      ),
    offerEndpoint: async (offer, signal) =>
      EndpointReply.parse(await post("/endpoints/offer", offer, signal, OFFER_TIMEOUT_MS)),
    releaseEndpoints: async (releases, signal) => {
      const release = async (body: EndpointReleases) =>
        ReleaseReply.parse(await post("/endpoints/release", body, signal, RELEASE_TIMEOUT_MS));
      const [first, ...more] = releases;
      if (first === undefined) return;
      const answer = await release(more.length === 0 ? first : { ...first, more });
      if (more.length > 0 && answer.more === undefined) for (const each of more) await release(each);
    },
  };
}

async function whileNoLeader<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + LEADER_CHANGE_MS;
  const mayRetry = (error: unknown) =>
    error instanceof NetError && error.code === "UNAVAILABLE" && performance.now() <= untilMs;
  return await retry(ask, { pauseMs: ASK_AGAIN_MS, mayRetry, signal }); // after the signal the next attempt tells of it
}
