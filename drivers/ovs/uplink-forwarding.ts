import { connectSwitch } from "./openflow/connection.ts";
import type { Flow } from "./openflow/flow.ts";

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
  readonly signal: AbortSignal;
}

/** Sees that a bridge in fail mode "standalone" forwards; true when the flow that makes it do so was missing. */
export async function ensureForwarding({ socketPath, signal }: ForwardingOptions): Promise<boolean> {
  await using connection = await connectSwitch(socketPath, { signal });
  const flows = await connection.dumpFlows({ table: 0 }, { signal });
  const isThere = ({ priority, match }: Flow) => priority === 0 && Object.keys(match).length === 0;
  if (flows.some(isThere)) return false;
  await connection.bundle([{ kind: "flow-add", flow: LEARNING_SWITCH }], { signal });
  return true;
}
