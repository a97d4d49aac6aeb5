import { NetError } from "../../state/errors.ts";
import { NodeRegistration } from "../../state/kinds/node.ts";
import type { NodeName } from "../../state/names.ts";
import type {
  EndpointOffer,
  EndpointRelease,
  EndpointReleases,
  EndpointReply,
  EndpointRequest,
  Heartbeat,
  HeartbeatReply,
  RegisterReply,
  ReleaseReply,
} from "../../state/node-api.ts";
import type { Committer, SubmitOptions } from "../commit/committer.ts";
import type { Committed } from "../commit/queue.ts";
import { createEndpoint, type EndpointCreation, releaseEndpoint } from "../intents/endpoint.ts";
import { registerNode, setNodeState } from "../intents/node.ts";
import { type Offered, takeBackEndpoint } from "../intents/take-back.ts";
import type { Heartbeats } from "../node-reports/heartbeats.ts";
import type { HitCounters } from "../node-reports/hit-counters.ts";
import type { ViewCache } from "../view/cache.ts";
import { networkKeyOf } from "../view/indexes.ts";
import type { ClusterView, IntentContext } from "../view/types.ts";
import { checkMtu, endpointReply } from "./endpoint-reply.ts";

export interface NodeCallOptions {
  readonly cache: ViewCache;
  readonly committer: Pick<Committer, "submit">;
  readonly heartbeats: Heartbeats;
  readonly hits: HitCounters;
  readonly heartbeatIntervalMs: number;
  readonly watchIdleTimeoutMs: number;
  readonly version: string;
}

/** The calls of the node API that write; only the leader does them. */
export interface NodeCalls {
  register(nodeName: NodeName, registration: NodeRegistration): Promise<RegisterReply>;
  heartbeat(nodeName: NodeName, heartbeat: Heartbeat): Promise<HeartbeatReply>;
  createEndpoint(nodeName: NodeName, request: EndpointRequest): Promise<EndpointReply>;
  /** A living pod that the store lacks is taken back, or refused with the reason. */
  takeBackEndpoint(nodeName: NodeName, offer: EndpointOffer): Promise<EndpointReply>;
  /** All of them are planned into the next transactions; fails when one could not be ended, with the others ended or not. */
  releaseEndpoints(nodeName: NodeName, releases: EndpointReleases): Promise<ReleaseReply>;
}

export function createNodeCalls(options: NodeCallOptions): NodeCalls {
  const { committer, heartbeatIntervalMs, watchIdleTimeoutMs, version } = options;
  return {
    async register(nodeName, registration) {
      if (registration.name !== nodeName) {
        const message = `name: "${registration.name}" is not the node "${nodeName}" of the path`;
        throw new NetError("INVALID", message, { field: "name" });
      }
      await committer.submit(registerNode, registration);
      return { heartbeatIntervalMs, watchIdleTimeoutMs, clusterVersion: version };
    },
    heartbeat: (nodeName, heartbeat) => noteHeartbeat(options, nodeName, heartbeat),
    async createEndpoint(nodeName, request) {
      const created = await committer.submit(createConnectable, { ...request, nodeName });
      return replyOf(created, nodeName);
    },
    async takeBackEndpoint(nodeName, offer) {
      const taken = await committer.submit(takeBackConnectable, { ...offer, nodeName });
      return replyOf(taken, nodeName);
    },
    async releaseEndpoints(nodeName, { more, ...first }) {
      const release = (each: EndpointRelease) => committer.submit(releaseEndpoint, { ...each, nodeName });
      const [ended, ...others] = await Promise.all([release(first), ...(more ?? []).map(release)]);
      const revision = String(
        [ended, ...others].reduce((last, each) => (each.revision > last ? each.revision : last), 0n),
      );
      if (more === undefined) return { released: ended.reply.released, revision };
      return { released: ended.reply.released, revision, more: others.map(({ reply }) => reply.released) };
    },
  };
}

/** As createEndpoint, and refuses what the node could not connect. */
function createConnectable(view: ClusterView, request: EndpointCreation, context: IntentContext) {
  checkMtu(view, networkKeyOf(request), request.nodeName);
  return createEndpoint(view, request, context);
}

function takeBackConnectable(view: ClusterView, offered: Offered) {
  checkMtu(view, networkKeyOf(offered.endpoint), offered.nodeName);
  return takeBackEndpoint(view, offered);
}

function replyOf({ reply, view }: Committed<EndpointReply["endpoint"]>, nodeName: NodeName): EndpointReply {
  const node = view.records("node").get(nodeName);
  if (node === undefined) throw new NetError("PRECONDITION", `Node ${nodeName} was deleted meanwhile`);
  return endpointReply(view, reply, node.registration);
}

async function noteHeartbeat(
  { cache, committer, heartbeats, hits, heartbeatIntervalMs }: NodeCallOptions,
  nodeName: NodeName,
  heartbeat: Heartbeat,
): Promise<HeartbeatReply> {
  const view = cache.view();
  const node = view.records("node").get(nodeName);
  const receiptDelayMs = receiptDelay(view.records("node").size, heartbeatIntervalMs);
  if (node === undefined || node.registration.bootId !== heartbeat.bootId)
    return { registered: false, heartbeatIntervalMs, receiptDelayMs };
  const change = heartbeats.note(node, heartbeat);
  if (heartbeat.hits !== undefined) hits.note(view, nodeName, heartbeat.hits);
  if (change !== undefined) await committer.submit(setNodeState, change, HEARTBEAT_LIMITS);
  const registered = isWholeRegistration(node.registration, heartbeat);
  return { registered, heartbeatIntervalMs, receiptDelayMs };
}

/** False when a netmaster of an earlier release took the registration, or wrote it again, and lost what it did not know. */
function isWholeRegistration(stored: NodeRegistration, { registrationMembers = [] }: Heartbeat): boolean {
  const known = registrationMembers.filter((name) => Object.hasOwn(NodeRegistration.shape, name));
  return known.every((name) => Object.hasOwn(stored, name));
}

/** Nodes that enforce the same change at the same moment spread their receipts: about one per millisecond. */
function receiptDelay(nodeCount: number, heartbeatIntervalMs: number): number {
  return Math.min(Math.max(RECEIPT_DELAY_MIN_MS, nodeCount), heartbeatIntervalMs);
}

const RECEIPT_DELAY_MIN_MS = 50;

/** A heartbeat that cannot be noted in this time is as good as missed; the next one follows. */
const HEARTBEAT_LIMITS: SubmitOptions = { timeoutMs: 5_000 };
