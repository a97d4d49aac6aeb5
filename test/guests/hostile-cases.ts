import type { HostileCase } from "../system/hostile/case.ts";
import { fragmentCases } from "../system/hostile/fragment-cases.ts";
import { frameCases } from "../system/hostile/frame-cases.ts";
import { neighbourCases } from "../system/hostile/neighbour-cases.ts";
import { packetCases } from "../system/hostile/packet-cases.ts";
import { spoofingCases } from "../system/hostile/spoofing-cases.ts";
import type { Mode } from "../system/hostile/stage.ts";
import { CAST } from "./hostile-world.ts";

/** Lies of the lengths in headers are seen by the userspace datapath alone; the receiver's kernel drops such packets (docs/security.md). */
const LYING_LENGTHS = /^header: (IPv4, total length|IPv6, payload length|IPv6, a jumbogram)/;
/** Of packets and fragments those that are judged without policies: of the others only the rules know. */
const WITHOUT_POLICIES =
  /^(header: |ICMP error of (?!.*port unreachable)|fragments of (?!.*denied port)|legal: fragments)/;
/** Where everybody is on one node there are no ways between nodes, but every fragment tells of its own. */
const ELSEWHERE = /^(?!.*fragments).*other node/;
const PLACE = /: VXLAN, (same|other) node/;

/** The cases of the hostile suite between the pods of one node, without policies; each once. */
export function guestCases(mode: Mode, datapath: "system" | "netdev"): readonly HostileCase[] {
  const names = new Set(CAST.map(({ name }) => name));
  const judged = [...packetCases(), ...fragmentCases()].filter(({ name }) => WITHOUT_POLICIES.test(name));
  return [...spoofingCases(), ...frameCases(), ...neighbourCases(), ...judged]
    .filter((each) => names.has(each.from) && (each.must ?? []).every((name) => names.has(name)))
    .filter((each) => (each.mode === undefined || each.mode === mode) && !ELSEWHERE.test(each.name))
    .map((each) => (datapath === "system" && LYING_LENGTHS.test(each.name) ? { ...each, may: [...names] } : each))
    .map((each) => ({ ...each, name: each.name.replace(PLACE, "") }));
}
