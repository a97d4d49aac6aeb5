import type { NetworkRecord } from "../../../state/kinds/network.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordsOf, settingsOf } from "../../view/query.ts";
import { fittedNumbers } from "../pipeline/fitted-numbers.ts";

/** Zones are 16 bits; 0 is left to whoever names none. */
const ZONE_MAX = 0xffff;

/**
 * Conntrack zone of a network: connections of different zones never meet, so that tenants may use the same addresses. One zone per
 * network; in routing mode one per tenant, because a routed connection has its ends in two networks.
 *
 * The zone is the network's (tenant's) own number, as long as that fits; beyond 65535 it is the number's remainder, or the next
 * zone that no other of this view has. It depends on the view alone, so it is the same after a restart.
 */
export function zoneOf(view: NodeView, network: NetworkRecord): number {
  const number = zoneNumberOf(view, network);
  return number <= ZONE_MAX ? number : (largeZones(view).get(number) ?? 0);
}

function zoneNumberOf(view: NodeView, { networkId, tenantId }: NetworkRecord): number {
  return settingsOf(view).fwdMode === "routing" ? tenantId : networkId;
}

const largeZonesByView = new WeakMap<NodeView, ReadonlyMap<number, number>>();

/** Zones of the numbers above 65535. More than 65535 networks on one node would share zones. */
export function largeZones(view: NodeView): ReadonlyMap<number, number> {
  const known = largeZonesByView.get(view);
  if (known !== undefined) return known;
  const numbers = [...recordsOf(view, "network")].map((network) => zoneNumberOf(view, network));
  const zones = fittedNumbers(numbers, ZONE_MAX);
  largeZonesByView.set(view, zones);
  return zones;
}
