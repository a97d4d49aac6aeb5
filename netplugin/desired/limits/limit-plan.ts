import { type TbfParameters, tbfLimitBytes } from "../../../drivers/netlink/tbf.ts";
import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import type { Policing } from "../../../drivers/ovs/types.ts";
import { burstOf, type Limiter } from "../../../state/bandwidth/burst.ts";
import type { LimitSource } from "../../../state/bandwidth/limits.ts";
import { type EffectiveLimit, type EffectiveLimits, effectiveLimits } from "../../../state/effective-limits.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { Netprofile } from "../../../state/kinds/netprofile.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import { MeterUse, meterId } from "../pipeline/meter-ids.ts";
import { ceilingShortfall, type Grouped, type PlannedCeiling, planCeilings } from "./ceilings.ts";
import { type EgressMechanism, egressMechanism, ingressMechanism } from "./mechanism.ts";

/** One direction as it is kept on this node. */
export interface PlannedLimit<M> {
  readonly rateBitPerSecond: number;
  readonly burstBits: number;
  readonly source: LimitSource;
  readonly mechanism: M;
  readonly notes: readonly string[];
}

/** What one endpoint's port should carry. A limit that this node cannot keep is in `shortfalls` only. */
export interface LimitPlan {
  readonly podIngress: PlannedLimit<"tbf"> | undefined;
  readonly podEgress: PlannedLimit<EgressMechanism> | undefined;
  /** Of its group and its tenant, also those that this node cannot keep. */
  readonly ceilings: readonly PlannedCeiling[];
  /** Of what the pod sends; 0 leaves packets as they are. */
  readonly dscp: number;
  readonly isStrict: boolean;
  readonly shortfalls: readonly string[];
}

export const NO_LIMITS: LimitPlan = Object.freeze({
  podIngress: undefined,
  podEgress: undefined,
  ceilings: [],
  dscp: 0,
  isStrict: false,
  shortfalls: [],
});

/** What the switch and OVSDB hold in 32 bits, in kbit and kbit/s. */
const KBIT_MAX = 0xffffffff;
const BITS_PER_BYTE = 8;
const BITS_PER_KBIT = 1_000;
const LIMITERS: Readonly<Record<EgressMechanism, Limiter>> = {
  police: "police",
  meter: "meter",
  "panel-tbf": "tbf",
  "ifb-tbf": "tbf",
};

/** What limits all pods of a group alike. */
export interface GroupLimits {
  readonly profile: Netprofile | undefined;
  readonly ceilings: readonly PlannedCeiling[];
}

export function groupLimits(view: NodeView, group: Grouped, means: LimitMeans): GroupLimits {
  return { profile: netprofileOf(view, group), ceilings: planCeilings(view, group, means) };
}

/** The limits of a pod for which these were stated, in a group that is limited so; `NO_LIMITS` itself when there are none. */
export function planFor(stated: EndpointRecord["limits"], group: GroupLimits, means: LimitMeans): LimitPlan {
  const { profile, ceilings } = group;
  if (profile === undefined && stated === undefined && ceilings.length === 0) return NO_LIMITS;
  const plan = planOf(effectiveLimits(stated, profile), means);
  if (ceilings.length === 0) return plan;
  return { ...plan, ceilings, shortfalls: [...plan.shortfalls, ...ceilings.flatMap(ceilingShortfall)] };
}

/** The netprofile of the group. */
function netprofileOf(view: NodeView, { tenantName, groupName }: Grouped): Netprofile | undefined {
  if (groupName === "") return undefined;
  const name = recordOf(view, "endpointGroup", `${tenantName}:${groupName}`)?.config.netProfile ?? "";
  return name === "" ? undefined : recordOf(view, "netprofile", `${tenantName}:${name}`)?.config;
}

export function planOf(limits: EffectiveLimits, means: LimitMeans): LimitPlan {
  const { dscp, isStrict, podIngress, podEgress } = limits;
  const inward = podIngress && ingressMechanism(means);
  const outward = podEgress && egressMechanism(limits.egressMode, means);
  const { frameBytes } = means;
  return {
    podIngress: podIngress && planned(podIngress, inward?.mechanism, { limiter: "tbf", frameBytes }),
    podEgress:
      podEgress && planned(podEgress, outward?.mechanism, { limiter: limiterOf(outward?.mechanism), frameBytes }),
    ceilings: [],
    dscp,
    isStrict,
    shortfalls: [inward?.shortfall, outward?.shortfall].filter((text) => text !== undefined),
  };
}

function limiterOf(mechanism: EgressMechanism | undefined): Limiter {
  return mechanism === undefined ? "tbf" : LIMITERS[mechanism];
}

interface BurstContext {
  readonly limiter: Limiter;
  readonly frameBytes: number;
}

function planned<M>(
  limit: EffectiveLimit,
  mechanism: M | undefined,
  context: BurstContext,
): PlannedLimit<M> | undefined {
  if (mechanism === undefined) return undefined;
  const { rateBitPerSecond, source } = limit;
  const { burstBits, note } = burstOf({ ...limit, ...context });
  const isBeyond = context.limiter !== "tbf" && rateBitPerSecond > KBIT_MAX * BITS_PER_KBIT;
  const beyond = isBeyond ? `the rate is more than ${KBIT_MAX} kbit/s, which is used` : undefined;
  const notes = [note, beyond].filter((text) => text !== undefined);
  return { rateBitPerSecond, burstBits, source, mechanism, notes };
}

/** As the kernel's shaper wants it: bytes, rounded up, so that nothing becomes 0. */
export function tbfOf({ rateBitPerSecond, burstBits }: PlannedLimit<unknown>): TbfParameters {
  const rateBytesPerSecond = Math.ceil(rateBitPerSecond / BITS_PER_BYTE);
  const burstBytes = Math.ceil(burstBits / BITS_PER_BYTE);
  return { rateBytesPerSecond, burstBytes, limitBytes: tbfLimitBytes(rateBytesPerSecond, burstBytes) };
}

/** As OVSDB wants it: kbit/s of 1000 and kbit, where 0 would mean unlimited. */
export function policingOf(limit: PlannedLimit<unknown>): Policing {
  return { rateKbitPerSecond: toKbit(limit.rateBitPerSecond), burstKbit: toKbit(limit.burstBits) };
}

/** The meter of what comes in through that port. */
export function meterIdOf(ofport: number): number {
  return meterId(MeterUse.podEgress, ofport);
}

/** The meters that keep a plan, as the switch wants them, for what comes in through that port and what goes out. */
export function metersOfPlan({ podEgress, ceilings }: LimitPlan, ofport: number | undefined): readonly Meter[] {
  const own = podEgress?.mechanism === "meter" && ofport !== undefined ? [meterOf(podEgress, meterIdOf(ofport))] : [];
  return [
    ...own,
    ...ceilings.flatMap((ceiling) => (ceiling.meterId === undefined ? [] : meterOf(ceiling, ceiling.meterId))),
  ];
}

export function meterOf(limit: Pick<PlannedLimit<unknown>, "rateBitPerSecond" | "burstBits">, id: number): Meter {
  const band = { kind: "drop", rate: toKbit(limit.rateBitPerSecond), burst: toKbit(limit.burstBits) } as const;
  return { id, rateUnit: "kbit/s", hasBurst: true, keepsStats: true, bands: [band] };
}

function toKbit(bits: number): number {
  return Math.min(Math.ceil(bits / BITS_PER_KBIT), KBIT_MAX);
}
