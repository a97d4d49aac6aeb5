import { type EffectiveLimit, effectiveLimits } from "../../state/effective-limits.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { ClusterView } from "../view/types.ts";
import { ceilingsOver } from "./ceilings.ts";
import { omitEmpty, type Rendered } from "./streamed.ts";

/** What limits an endpoint, and who said so; undefined where nobody says anything. Rates in bit/s, bursts in bits. */
export function endpointBandwidth(view: ClusterView, endpoint: EndpointRecord): Rendered {
  const profileKey = netprofileKeyOf(view, endpoint);
  const profile = profileKey === undefined ? undefined : view.records("netprofile").get(profileKey)?.config;
  const ceilings = ceilingsOver(view, endpoint);
  if (profile === undefined && endpoint.limits === undefined && ceilings.length === 0) return undefined;
  const { podIngress, podEgress, dscp, egressMode, isStrict } = effectiveLimits(endpoint.limits, profile);
  return omitEmpty({
    ceilings,
    dscp,
    egressMode,
    netprofileKey: profileKey,
    podEgress: podEgress && limitMembers(podEgress),
    podIngress: podIngress && limitMembers(podIngress),
    strict: isStrict,
  });
}

function limitMembers({ burstBits, rateBitPerSecond, source }: EffectiveLimit): Record<string, Rendered> {
  return omitEmpty({ burstBits, rateBitPerSecond, source });
}

function netprofileKeyOf(view: ClusterView, { tenantName, groupName }: EndpointRecord): string | undefined {
  if (groupName === "") return undefined;
  const netProfile = view.records("endpointGroup").get(`${tenantName}:${groupName}`)?.config.netProfile ?? "";
  return netProfile === "" ? undefined : `${tenantName}:${netProfile}`;
}
