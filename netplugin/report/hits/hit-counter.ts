import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { PortStats } from "../../../drivers/ovs/openflow/port.ts";
import type { NetError } from "../../../state/errors.ts";
import { around } from "../../../state/waiting/back-off.ts";
import { repeat } from "../../../state/waiting/repeat.ts";
import { COOKIE_OURS, ownerIdOf, parseCookie } from "../../desired/pipeline/pipeline.ts";
import type { Attachment } from "../../machine/attachment.ts";
import { objectId } from "../../view/messages.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf, recordsOf } from "../../view/query.ts";
import type { HitDeltas, PortCount } from "./hit-deltas.ts";

export interface HitCounterOptions {
  readonly deltas: HitDeltas;
  /** The present connection; throws UNAVAILABLE while there is none. */
  readonly connection: () => Pick<SwitchConnection, "dumpFlowCounts" | "portStats">;
  readonly view: () => NodeView;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 10_000;
/** Bits of the cookie that tell the kind of owner. */
const OWNER_KIND_MASK = 0xf0000000n;

/** Selects the flows of all rules. */
export const RULE_COOKIES = {
  cookie: COOKIE_OURS.cookie | (BigInt(ownerIdOf(objectId("rule", ""))) & OWNER_KIND_MASK),
  cookieMask: COOKIE_OURS.mask | OWNER_KIND_MASK,
} as const;

/** Reads at once, and then now and then, what the flows of rules and the ports of pods have counted. Ends with the signal. */
export async function countHits(options: HitCounterOptions): Promise<void> {
  const { signal, intervalMs = INTERVAL_MS } = options;
  const ruleOf = ruleNames(options.view);
  await repeat(() => readOnce(options, ruleOf), {
    everyMs: () => around(intervalMs, 0.1),
    doing: "count what the rules have met",
    signal,
    report: options.report,
  });
}

async function readOnce(
  { deltas, connection, view, attachments, signal }: HitCounterOptions,
  ruleOf: (cookie: bigint) => string | undefined,
): Promise<void> {
  const flows = await connection().dumpFlowCounts(RULE_COOKIES, { signal });
  deltas.readRules(flows, ruleOf, Date.now());
  const ports = await connection().portStats(undefined, { signal });
  const byOfport = new Map([...attachments().values()].map(({ ofport, endpointKey }) => [ofport, endpointKey]));
  deltas.readPorts(ports.flatMap(countOf), (ofport) => byOfport.get(ofport), Date.now());
  deltas.keepRules((key) => recordOf(view(), "rule", key) !== undefined);
}

/** What a port receives, its pod has sent. */
function countOf({ port, rxPackets = 0n, rxBytes = 0n, txPackets = 0n, txBytes = 0n }: PortStats): PortCount[] {
  if (typeof port !== "number") return [];
  const sent = { sentPackets: rxPackets, sentBytes: rxBytes };
  return [{ ofport: port, ...sent, receivedPackets: txPackets, receivedBytes: txBytes }];
}

/** Names the rule of a cookie. The names are looked up anew when the rules have changed. */
function ruleNames(view: () => NodeView): (cookie: bigint) => string | undefined {
  let rules: unknown;
  let names = new Map<number, string>();
  return (cookie) => {
    const now = view();
    if (now.tables.get("rule") !== rules) {
      rules = now.tables.get("rule");
      names = new Map([...recordsOf(now, "rule")].map(({ key }) => [ownerIdOf(objectId("rule", key)), key]));
    }
    return names.get(parseCookie(cookie)?.ownerId ?? -1);
  };
}
