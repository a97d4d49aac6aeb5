import { burstOf } from "../../../state/bandwidth/burst.ts";
import { type CeilingKind, ceilingsIn } from "../../../state/bandwidth/ceiling.ts";
import type { PodLimits, RateLimit } from "../../../state/bandwidth/limits.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../../../state/kinds/endpoint-group.ts";
import type { TenantRecord } from "../../../state/kinds/tenant.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import type { NodeView } from "../../view/node-view.ts";
import { networkOf, recordOf, recordsOf } from "../../view/query.ts";
import { fittedNumbers } from "../pipeline/fitted-numbers.ts";
import { MeterUse, meterId } from "../pipeline/meter-ids.ts";

/** One direction of what all pods of a group, or of a tenant, on this node may do together. */
export interface PlannedCeiling {
  readonly kind: CeilingKind;
  /** Of the group or tenant. */
  readonly key: string;
  /** Seen from the pods. */
  readonly direction: keyof PodLimits;
  readonly rateBitPerSecond: number;
  readonly burstBits: number;
  /** Undefined: this node has no meters to keep it with. */
  readonly meterId: number | undefined;
  readonly notes: readonly string[];
}

export const NO_CEILINGS: readonly PlannedCeiling[] = [];
/** All pods of a group are under the same ceilings. */
export type Grouped = Pick<EndpointRecord, "tenantName" | "groupName">;

const DIRECTIONS = ["podIngress", "podEgress"] as const;
/** Rates and bursts of meters are 32 bits, in kbit. */
const METER_MAX_BITS = 0xffffffff * 1_000;

/** Group or tenant with a ceiling. */
interface Ceilinged {
  readonly kind: CeilingKind;
  readonly key: string;
  /** Cluster-wide. */
  readonly number: number;
  readonly limits: PodLimits;
}

/**
 * The ceilings that the traffic of a group's pods counts for. The group's come before its tenant's: what the narrower one drops does not
 * count for the wider one.
 */
export function planCeilings(view: NodeView, group: Grouped, means: LimitMeans): readonly PlannedCeiling[] {
  const over = ceilingsOver(view, group);
  if (over.length === 0) return NO_CEILINGS;
  return over.flatMap((ceilinged) =>
    DIRECTIONS.flatMap((direction) => {
      const limit = ceilinged.limits[direction];
      return limit === undefined ? [] : planned(view, ceilinged, { direction, limit, means });
    }),
  );
}

/** The node's own (infra) endpoints are under no ceiling. */
export function isCeilinged(view: NodeView, { networkId }: EndpointRecord): boolean {
  return networkOf(view, networkId)?.config.nwType !== "infra";
}

function ceilingsOver(view: NodeView, { tenantName, groupName }: Grouped): readonly Ceilinged[] {
  const group = groupName === "" ? undefined : recordOf(view, "endpointGroup", `${tenantName}:${groupName}`);
  const tenant = recordOf(view, "tenant", tenantName);
  return [...ceilingsOf(group), ...ceilingsOf(tenant)];
}

function ceilingsOf(record: EndpointGroupRecord | TenantRecord | undefined): readonly Ceilinged[] {
  if (record === undefined) return [];
  const { key, config } = record;
  const limits = ceilingsIn(config);
  if (limits.podIngress === undefined && limits.podEgress === undefined) return [];
  if ("groupId" in record) return [{ kind: "endpointGroup", key, number: record.groupId, limits }];
  return [{ kind: "tenant", key, number: record.tenantId, limits }];
}

interface PlanParts {
  readonly direction: keyof PodLimits;
  readonly limit: RateLimit;
  readonly means: LimitMeans;
}

function planned(view: NodeView, { kind, key, number }: Ceilinged, { direction, limit, means }: PlanParts) {
  const { rateBitPerSecond } = limit;
  const { burstBits, note } = burstOf({
    ...{ ...limit, frameBytes: means.frameBytes },
    // The kernel's datapath meters packets as segmentation offload makes them, like its policer.
    limiter: means.datapathType === "system" ? "police" : "meter",
  });
  const beyond =
    rateBitPerSecond > METER_MAX_BITS ? `the rate is more than ${METER_MAX_BITS} bit/s, which is used` : undefined;
  const notes = [note, beyond].filter((text) => text !== undefined);
  const id = means.meters ? ceilingMeterId(view, { kind, number, direction }) : undefined;
  return { kind, key, direction, rateBitPerSecond, burstBits, meterId: id, notes };
}

/** Why a ceiling is not kept on this node. */
export function ceilingShortfall(ceiling: PlannedCeiling): readonly string[] {
  if (ceiling.meterId !== undefined) return [];
  return [`this node has no meters, so the ${nameOf(ceiling)} is not kept`];
}

/** What is not as the admin wrote it. */
export function ceilingNotes(ceiling: PlannedCeiling): readonly string[] {
  return ceiling.notes.map((note) => `${nameOf(ceiling)}: ${note}`);
}

function nameOf({ kind, key, direction }: PlannedCeiling): string {
  const side = direction === "podIngress" ? "ingress" : "egress";
  return `${side} ceiling of ${kind === "tenant" ? "tenant" : "endpoint group"} ${key}`;
}

interface CeilingNumber {
  readonly kind: CeilingKind;
  readonly number: number;
  readonly direction: keyof PodLimits;
}

/** A meter's lower 16 bits: kind (1), number (14), direction (1). */
const NUMBER_MAX = 0x3fff;
const KIND_SHIFT = 15;

/**
 * The meter of a ceiling follows from the view alone: the group's (tenant's) own number as long as that fits, beyond it one that no other
 * ceiling of this view has.
 */
function ceilingMeterId(view: NodeView, { kind, number, direction }: CeilingNumber): number {
  const fitted = number <= NUMBER_MAX ? number : (largeNumbers(view, kind).get(number) ?? 0);
  const kindBit = kind === "tenant" ? 1 : 0;
  const directionBit = direction === "podEgress" ? 1 : 0;
  return meterId(MeterUse.ceiling, (kindBit << KIND_SHIFT) | (fitted << 1) | directionBit);
}

const largeByView = new WeakMap<NodeView, Map<CeilingKind, ReadonlyMap<number, number>>>();

function largeNumbers(view: NodeView, kind: CeilingKind): ReadonlyMap<number, number> {
  const byKind = largeByView.get(view) ?? new Map<CeilingKind, ReadonlyMap<number, number>>();
  largeByView.set(view, byKind);
  const known = byKind.get(kind) ?? fittedNumbers(ceilingedNumbers(view, kind), NUMBER_MAX);
  byKind.set(kind, known);
  return known;
}

function* ceilingedNumbers(view: NodeView, kind: CeilingKind): Generator<number> {
  for (const record of recordsOf(view, kind)) for (const { number } of ceilingsOf(record)) yield number;
}
