import type { Logger } from "pino";
import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { COOKIE_OURS } from "../../desired/pipeline/pipeline.ts";
import { startTicketLoop } from "../loop/ticket-loop.ts";

export interface ForeignFlowsOptions {
  /** Undefined while the switch is away: what was found then still counts. */
  readonly connection: () => Pick<SwitchConnection, "dumpFlows"> | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Looks for flows in the integration bridge that are not ours: one of them may lead packets round all tables. They are left as they
 * are, for somebody has put them there on purpose; they are told.
 */
export interface ForeignFlows {
  /** Looks again soon. */
  compare(): void;
  /** How many there are. */
  count(): number;
  /** What is wrong and what to do; undefined when there are none. */
  fault(): string | undefined;
  readonly ended: Promise<void>;
}

const SHOWN_MAX_LENGTH = 200;

export function startForeignFlows({ connection, log, signal }: ForeignFlowsOptions): ForeignFlows {
  let found: readonly string[] = [];

  function tell(now: readonly string[]): void {
    const isSame = now.length === found.length && now.every((flow, index) => flow === found[index]);
    if (!isSame && now.length > 0)
      log.warn(
        { count: now.length, first: now[0] },
        "Flows that are not contiv's let packets bypass its rules; delete them",
      );
    if (!isSame && now.length === 0) log.info("The flows that were not contiv's are gone");
    found = now;
  }

  const loop = startTicketLoop({
    work: async (_full, caller) => {
      const present = connection();
      if (present !== undefined) tell(await foreignFlows(present, caller));
    },
    signal,
    report: (error) => log.warn({ error: error.message }, "Flows that are not contiv's cannot be looked for"),
  });
  return {
    compare: () => loop.kick(),
    count: () => found.length,
    fault: () => {
      if (found.length === 0) return undefined;
      const first = (found[0] ?? "").slice(0, SHOWN_MAX_LENGTH);
      return `${found.length} flows in contiv-int are not contiv's and can lead packets past its rules, first ${first}; see who made them, and delete them with ovs-ofctl del-flows --strict`;
    },
    ended: loop.ended,
  };
}

/** Bits of a cookie that say whose the flow is: a foreign one differs in at least one of them, and a dump can ask for one bit. */
const OWNER_BITS = Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit)).filter(
  (bit) => (COOKIE_OURS.mask & bit) !== 0n,
);

async function foreignFlows(
  connection: Pick<SwitchConnection, "dumpFlows">,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const texts = new Set<string>();
  for (const cookieMask of OWNER_BITS) {
    const cookie = ~COOKIE_OURS.cookie & cookieMask;
    for (const flow of await connection.dumpFlows({ cookie, cookieMask }, { signal })) texts.add(formatFlow(flow));
  }
  return [...texts].sort();
}
