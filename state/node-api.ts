import { z } from "zod";
import { StatedLimits } from "./bandwidth/limits.ts";
import { BANDWIDTH_REPORTS_MAX, BandwidthReport, CeilingReport } from "./bandwidth/report.ts";
import { Epoch } from "./ids.ts";
import { EndpointRecord } from "./kinds/endpoint.ts";
import { NodeCondition } from "./kinds/node.ts";
import { Name, OptionalName } from "./names.ts";
import { Readiness } from "./readiness.ts";
import { KINDS, type Kind, type RecordOf } from "./records.ts";

/**
 * The node API, version 1: what netplugin and netmaster say to each other (HTTP/1.1, JSON; mTLS when configured).
 * Every path starts with `/node/v1/nodes/<node>`; with mTLS the client certificate's common name must be `<node>`.
 *
 *   POST   /register            NodeRegistration         → RegisterReply
 *   POST   /heartbeat           Heartbeat                → HeartbeatReply
 *   GET    /watch                                        → NDJSON of WatchMessage, never ends
 *   POST   /endpoints           EndpointRequest          → EndpointReply   (idempotent by node, containerId and ifName)
 *   POST   /endpoints/release   EndpointReleases         → ReleaseReply    (idempotent; compares the epochs)
 *   POST   /endpoints/offer     EndpointOffer            → EndpointReply   (idempotent by the endpoint's key and epoch)
 *
 * Errors: the status of the REST API's new dialect with a NodeApiError body.
 */
export const NODE_API_VERSION = "v1";

/** Names node API and release in every reply, so that a mixed cluster can be seen. */
export const NODE_API_VERSION_HEADER = "contiv-node-api";

/** Names the store's epoch at the head of a watch stream: revisions of another epoch are not comparable (docs/upgrade.md, "Backup, restore, disaster recovery"). */
export const STORE_EPOCH_HEADER = "contiv-store-epoch";

export const RegisterReply = z.object({
  /** How often the node must send a heartbeat, in milliseconds. */
  heartbeatIntervalMs: z.int().positive(),
  /** A watch stream silent for longer than this is dead, in milliseconds (bookmarks come more often). */
  watchIdleTimeoutMs: z.int().positive(),
  clusterVersion: z.string(),
});
export type RegisterReply = z.infer<typeof RegisterReply>;

const StoreEpoch = z.string().max(64);

/** What of the store's state this node has put into its switch and kernel. */
export const Receipt = z.object({
  enforcedRevision: z
    .string()
    .regex(/^[0-9]+$/)
    .describe("Store revision of the view that was enforced last, as decimal text."),
  storeEpoch: StoreEpoch.optional().describe("The store's epoch that the revision belongs to."),
  enforcedAt: z.string().describe("Time of that enforcement, RFC 3339."),
  endpointCount: z.int().nonnegative().describe("Endpoints on the node."),
  flowCount: z.int().nonnegative().describe("Flows in its switch."),
  failures: z
    .record(z.string(), z.string())
    .default({})
    .describe("What could not be enforced: the reason, by object (kind/key). Of many, the first."),
  failureCounts: z
    .record(z.string(), z.int().nonnegative())
    .optional()
    .describe("How many objects could not be enforced, by kind."),
});
export type Receipt = z.infer<typeof Receipt>;

/** Most rules, and most endpoints, of one report of hits. */
export const HIT_REPORT_MAX = 400;

const Count = z.int().nonnegative();

/** Packets and bytes that a rule decided over since the last report, and when the last of them was seen (Unix time, ms). */
export const RuleHits = z.tuple([Count, Count, Count]);
export type RuleHits = z.infer<typeof RuleHits>;

/** Packets and bytes that an endpoint sent, then those that it got, since the last report, and when the last was seen (Unix time, ms). */
export const EndpointHits = z.tuple([Count, Count, Count, Count, Count]);
export type EndpointHits = z.infer<typeof EndpointHits>;

function bounded<V extends z.ZodType>(value: V) {
  const isBounded = (record: object) => Object.keys(record).length <= HIT_REPORT_MAX;
  return z.record(z.string(), value).refine(isBounded, `must have at most ${HIT_REPORT_MAX} members`).default({});
}

/** What was counted since the last report that was answered; an unanswered one is repeated as it was. */
export const HitReport = z.object({
  /** Another one after each start of the agent. */
  session: z.string().min(1).max(64),
  /** Number of the report within the session: what comes twice counts once. */
  sequence: Count,
  /** By key. */
  rules: bounded(RuleHits),
  endpoints: bounded(EndpointHits),
});
export type HitReport = z.infer<typeof HitReport>;

/** Most conditions of one heartbeat. */
export const CONDITIONS_MAX = 100;

export const Heartbeat = z.object({
  bootId: z.string(),
  /** Names of the members of the registration. A netmaster of an earlier release has not kept those that it did not know: they are asked for again. */
  registrationMembers: z.array(z.string().max(64)).max(64).optional(),
  /** The last store epoch in which the node has offered every attachment that the store lacked, and has had all answers. */
  settledEpoch: StoreEpoch.optional(),
  conditions: z.array(NodeCondition).max(CONDITIONS_MAX),
  /** Absent: the agent is of a release that does not say so. */
  readiness: Readiness.optional(),
  receipt: Receipt.optional(),
  /** What was measured of the node's endpoints, of some at a time. */
  bandwidth: z.array(BandwidthReport).max(BANDWIDTH_REPORTS_MAX).optional(),
  /** What was measured of its groups and tenants that have a ceiling. */
  ceilings: z.array(CeilingReport).max(BANDWIDTH_REPORTS_MAX).optional(),
  hits: HitReport.optional(),
});
export type Heartbeat = z.infer<typeof Heartbeat>;

/** `registered: false` asks the node to register again (it was deleted, or the store is new). */
export const HeartbeatReply = z.object({
  registered: z.boolean(),
  heartbeatIntervalMs: z.int().positive(),
  /** How soon after an enforcement the node sends its receipt, without waiting for the next interval, in milliseconds. */
  receiptDelayMs: z.int().nonnegative().default(50),
});
export type HeartbeatReply = z.infer<typeof HeartbeatReply>;

/**
 * One object enters, changes or leaves the node's scope. `modRevision` orders versions of one object; a message that is older than
 * what the node holds is ignored. `delete` means "not in your scope any more", whether or not the object still exists.
 */
export interface ObjectPut<K extends Kind = Kind> {
  readonly type: "put";
  readonly kind: K;
  readonly key: string;
  readonly modRevision: string;
  readonly object: RecordOf<K>;
}
export interface ObjectDelete {
  readonly type: "delete";
  readonly kind: Kind;
  readonly key: string;
  readonly modRevision: string;
}

/**
 * A stream begins with puts of everything in scope, then `synced`: what the node holds and was not sent has gone. After that each
 * group of changes that belong to one store revision ends with a `bookmark`; bookmarks also come when nothing changes.
 */
export type WatchMessage =
  | ObjectPut
  | ObjectDelete
  | { readonly type: "synced"; readonly revision: string }
  | { readonly type: "bookmark"; readonly revision: string };

/** The envelope of a WatchMessage; `object` is parsed by the schema of its kind. */
export const WatchEnvelope = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("put"),
    kind: z.enum(KINDS as [Kind, ...Kind[]]),
    key: z.string(),
    modRevision: z.string(),
    object: z.unknown(),
  }),
  z.object({
    type: z.literal("delete"),
    kind: z.enum(KINDS as [Kind, ...Kind[]]),
    key: z.string(),
    modRevision: z.string(),
  }),
  z.object({ type: z.literal("synced"), revision: z.string() }),
  z.object({ type: z.literal("bookmark"), revision: z.string() }),
]);

/** A pod wants to be attached. */
export const EndpointRequest = z.object({
  containerId: z.string().min(1).max(256),
  ifName: z.string().min(1).max(15),
  tenantName: Name,
  networkName: Name,
  groupName: OptionalName,
  podName: z.string().max(253).default(""),
  podNamespace: z.string().max(253).default(""),
  labels: z.record(z.string().max(317), z.string().max(256)).default({}),
  /** Address that the pod asks for; refused when it is taken or outside the network or the group's pool. */
  requestedIpv4: z.ipv4().optional(),
  requestedIpv6: z.ipv6().optional(),
  /** What runtime and annotations say of its bandwidth. */
  limits: StatedLimits.omit({ rest: true }).optional(),
  /**
   * The node finds its attachment under whatever key the reply has (`endpointKeysOf`). Agents of earlier releases do not say so: they
   * look for `<containerId>:<ifName>` only.
   */
  takesAnyKey: z.boolean().default(false),
});
export type EndpointRequest = z.infer<typeof EndpointRequest>;

const Addressing = z.object({ address: z.string().max(64), gateway: z.string().max(64).optional() });

/** The lease, and the objects that the node needs to connect the pod at once, before the watch delivers them. */
export const EndpointReply = z.object({
  endpoint: EndpointRecord,
  /** Addresses with prefix length, gateways and routes as the CNI result needs them. */
  ipv4: Addressing,
  ipv6: Addressing.optional(),
  routes: z.array(z.object({ destination: z.string(), gateway: z.string().optional() })),
  mtuBytes: z.int().positive(),
  /** The store revision that holds all of this, as decimal text. */
  revision: z.string(),
  /** The store's epoch that the revision belongs to. */
  storeEpoch: StoreEpoch.optional(),
  /** Same form as the watch's puts; modRevision orders them with it. */
  objects: z.array(z.unknown()),
});
export type EndpointReply = z.infer<typeof EndpointReply>;

/** Ends the lease of one epoch. Of an endpoint that has another epoch, or is gone, nothing is changed. */
export const EndpointRelease = z.object({ key: z.string().min(1).max(640), epoch: Epoch });
export type EndpointRelease = z.infer<typeof EndpointRelease>;

const MAX_RELEASES = 128;

/** Several leases in one call; a netmaster of an earlier release ends only the first, and says nothing of `more`. */
export const EndpointReleases = EndpointRelease.extend({ more: z.array(EndpointRelease).max(MAX_RELEASES).optional() });
export type EndpointReleases = z.infer<typeof EndpointReleases>;

/** What a pod's interface was given of its network at ADD, and keeps whatever becomes of the network. */
export const GivenInterface = EndpointReply.pick({ ipv4: true, ipv6: true, mtuBytes: true });
export type GivenInterface = z.infer<typeof GivenInterface>;

/** A pod is attached on this node and the store, of another epoch than the one that leased its addresses, does not know of it. */
export const EndpointOffer = z.object({ endpoint: EndpointRecord, given: GivenInterface.optional() });
export type EndpointOffer = z.infer<typeof EndpointOffer>;

/** `released: false` = there was nothing of that epoch to release; `more` answers for each of the others. */
export const ReleaseReply = z.object({
  released: z.boolean(),
  revision: z.string(),
  more: z.array(z.boolean()).optional(),
});
export type ReleaseReply = z.infer<typeof ReleaseReply>;

/** Error body of the node API; `code` is a state/errors.ts code, so that the caller rebuilds the same NetError. */
export const NodeApiError = z.object({
  code: z.string(),
  message: z.string(),
  reason: z.string().optional(),
  field: z.string().optional(),
});
export type NodeApiError = z.infer<typeof NodeApiError>;
