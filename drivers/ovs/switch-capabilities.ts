import { asNetError, type NetError } from "../../state/errors.ts";
import type { SwitchConnection } from "./openflow/connection.ts";

/** What this node's switch can do, found out by asking it and by trying. */
export interface SwitchCapabilities {
  readonly meters: boolean;
  readonly conntrack: boolean;
}

export interface SwitchProbe {
  readonly connection: Pick<SwitchConnection, "meterFeatures" | "bundle">;
  /** Marks the flow that is tried, so that nobody takes it for a stranger's. */
  readonly cookie: bigint;
}

/**
 * Conntrack is probed by a flow in a table that nothing leads to; a datapath without zones refuses it.
 * @throws NetError when the connection ends meanwhile: nothing is known then
 */
export async function probeSwitch({ connection, cookie }: SwitchProbe): Promise<SwitchCapabilities> {
  const features = await connection.meterFeatures();
  const probe = {
    table: 253,
    priority: 1,
    cookie,
    match: { ethType: 0x0800, inPort: "local" },
    actions: [{ kind: "ct", commit: true, zone: 1 }],
  } as const;
  const conntrack = await connection.bundle([{ kind: "flow-add", flow: probe }]).then(
    () => true,
    (thrown: unknown) => {
      if (isLost(asNetError(thrown, "probe the switch"))) throw thrown;
      return false;
    },
  );
  if (conntrack) await connection.bundle([{ kind: "flow-delete-strict", flow: probe }]);
  return { meters: features.maxMeters > 0, conntrack };
}

function isLost({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED";
}
