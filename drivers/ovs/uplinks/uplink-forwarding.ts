import { connectSwitch } from "../openflow/connection.ts";
import type { Flow } from "../openflow/flow.ts";
import { repairSwitchState } from "../switch-state.ts";

/** What the switch itself gives to a bridge without controller when it makes it (connmgr.c), and never again when somebody deletes it. */
const LEARNING_SWITCH: Flow = {
  table: 0,
  priority: 0,
  cookie: 0n,
  match: {},
  actions: [{ kind: "output", port: "normal" }],
};

export interface ForwardingOptions {
  /** The bridge's management socket. */
  readonly socketPath: string;
  readonly bridge: string;
  /** Ports of ours in it. */
  readonly ports: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** Sees that a bridge in fail mode "standalone" forwards; what kept it from doing so. */
export async function ensureForwarding(options: ForwardingOptions): Promise<readonly string[]> {
  const { socketPath, bridge, signal } = options;
  await using connection = await connectSwitch(socketPath, { signal });
  const found = await repairSwitchState(connection, { ...options, fragments: ["normal", "nx-match", "reassemble"] });
  const flows = await connection.dumpFlows({ table: 0 }, { signal });
  const isThere = ({ priority, match }: Flow) => priority === 0 && Object.keys(match).length === 0;
  if (flows.some(isThere)) return found;
  await connection.bundle([{ kind: "flow-add", flow: LEARNING_SWITCH }], { signal });
  return [...found, `the flow of bridge ${bridge} that forwards`];
}
