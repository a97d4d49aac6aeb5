import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import type { LimitPlan } from "../limits/limit-plan.ts";
import { canonicalIpv6, linkLocalOf } from "../pipeline/actions.ts";

/** An endpoint with its network and its addresses as flows write them. */
export interface Place {
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
  /** Its global IPv6 address and its link-local one; empty without IPv6: then it may not speak it at all. */
  readonly ipv6Addresses: readonly string[];
  readonly ipv6: string | undefined;
}

/** An endpoint on this node, plugged in. */
export interface LocalPlace extends Place {
  readonly ofport: number;
  readonly limits: LimitPlan;
}

export function placeOf(endpoint: EndpointRecord, network: NetworkRecord): Place {
  const ipv6 = endpoint.ipv6 === undefined ? undefined : canonicalIpv6(endpoint.ipv6);
  return { endpoint, network, ipv6, ipv6Addresses: ipv6 === undefined ? [] : [ipv6, linkLocalOf(endpoint.mac)] };
}
