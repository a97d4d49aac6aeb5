import { z } from "zod";
import { parseSubnet } from "../../state/address.ts";
import { NetError } from "../../state/errors.ts";
import type { TenantId } from "../../state/ids.ts";
import { numberClaimKey } from "../../state/keys.ts";
import { GLOBAL_DEFAULTS, Global } from "../../state/kinds/global.ts";
import type { Network } from "../../state/kinds/network.ts";
import { inRanges } from "../../state/number-ranges.ts";
import { specialUseOf } from "../../state/special-addresses.ts";
import type { ClusterView, Plan, PlannedPut } from "../view/types.ts";
import { allKeys, conflict, invalid, refuseInUse } from "./errors.ts";
import { nextId } from "./ids.ts";
import { type Changed, changed, claimOf, plan, type Removed } from "./plan.ts";
import { configuredRanges, describeTag, TAG_KINDS } from "./tags.ts";

const KEY = "global";

/** What a client may send: members that are absent or empty keep their value (contract §6.7). */
export const GlobalChange = Global.partial().extend({
  name: z.literal(KEY).default(KEY).describe("Name of the only object of its kind."),
});
export type GlobalChange = z.infer<typeof GlobalChange>;

/** Changes the settings. */
export function upsertGlobal(view: ClusterView, asked: GlobalChange): Plan<Changed> {
  const stored = view.records("global").get(KEY)?.config ?? GLOBAL_DEFAULTS;
  const config: Global = { ...stored, ...definedMembers(asked) };
  checkFabric(stored, config);
  checkModes(view, stored, config);
  if (config.pvtSubnet !== stored.pvtSubnet) checkPrivateSubnet(config);
  for (const encap of ["vlan", "vxlan"] as const) checkTagsInUse(view, config, encap);
  return changed({ kind: "global", key: KEY, record: { key: KEY, config } });
}

function definedMembers(asked: GlobalChange): Partial<Global> {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
}

function checkModes(view: ClusterView, stored: Global, config: Global): void {
  const keys = allKeys(view, "network");
  for (const field of ["fwdMode", "pvtSubnet"] as const) {
    if (config[field] === stored[field]) continue;
    refuseInUse(`${field} "${stored[field]}"`, [{ noun: "network", keys }]);
  }
}

/** Settings of earlier releases may hold such a mode and keep it; only a change to it is refused. */
function checkFabric(stored: Global, { networkInfraType }: Global): void {
  if (networkInfraType === stored.networkInfraType || networkInfraType === "default") return;
  const message = `networkInfraType "${networkInfraType}" is not supported by this release, which cannot configure an ACI fabric; use "default"`;
  throw new NetError("UNSUPPORTED", message, { reason: "unsupported", field: "networkInfraType" });
}

function checkPrivateSubnet({ pvtSubnet }: Global): void {
  const subnet = parseSubnet(4, pvtSubnet);
  const problem = subnet && specialUseOf(4, subnet);
  if (problem !== undefined)
    throw invalid("pvtSubnet", `${pvtSubnet} ${problem}; use another one, such as 172.19.0.0/16`);
}

function checkTagsInUse(view: ClusterView, config: Global, encap: Network["encap"]): void {
  const { pool, setting } = TAG_KINDS[encap];
  const ranges = configuredRanges(config, encap);
  for (const { first, last } of view.ids(pool).takenRanges()) {
    for (let tag = first; tag <= last; tag += 1) {
      if (inRanges(ranges, tag)) continue;
      const message = `${setting}: ${describeTag(view, encap, tag)} is in use and outside ${config[setting]}`;
      throw conflict("tag-in-use", message, setting);
    }
  }
}

/** The settings cannot be deleted. */
export function deleteGlobal(): Plan<Removed> {
  throw new NetError("UNSUPPORTED", "The settings cannot be deleted; change them instead", { reason: "unsupported" });
}

export interface Bootstrap {
  /** Start-up flag; only used when no settings are stored. */
  readonly fwdMode: Global["fwdMode"];
}

/** What every leader makes sure of: stored settings, which win over flags, and the tenant `default` (contract §6.1, §6.7). */
export function bootstrap(view: ClusterView, { fwdMode }: Bootstrap): Plan<null> {
  const puts: PlannedPut[] = [];
  if (!view.records("global").has(KEY)) {
    puts.push({ kind: "global", key: KEY, record: { key: KEY, config: { ...GLOBAL_DEFAULTS, fwdMode } } });
  }
  if (view.records("tenant").has("default")) return plan(null, { puts });
  const tenantId = nextId(view, "tenant-id") as TenantId;
  const config = { tenantName: "default", defaultNetwork: "" };
  puts.push({ kind: "tenant", key: "default", record: { key: "default", tenantId, config } });
  return plan(null, { puts, claims: [claimOf("tenant", "default", numberClaimKey("tenant-id", tenantId))] });
}
