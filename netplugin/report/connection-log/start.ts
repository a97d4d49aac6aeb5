import type { Logger } from "pino";
import type { Counter } from "prom-client";
import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { OpenOvsDriver } from "../../../drivers/ovs/switch.ts";
import { asNetError } from "../../../state/errors.ts";
import { pause } from "../../../state/waiting/pause.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { NodeView } from "../../view/node-view.ts";
import { type ConnectionLog, createConnectionLog } from "./connection-log.ts";
import type { LineLimits } from "./line-limiter.ts";

export interface StartOptions {
  readonly driver: Pick<OpenOvsDriver, "flowConnection" | "onChange">;
  readonly view: () => NodeView;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  readonly limits: LineLimits;
  readonly samples: Counter<"outcome">;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const SWEEP_INTERVAL_MS = 5_000;

/** Listens to what the switch samples, through every connection to it, until the signal aborts. */
export function startConnectionLog(options: StartOptions): ConnectionLog {
  const { driver, view, attachments, log, samples, signal } = options;
  const connections = createConnectionLog({
    context: () => ({ view: view(), endpointOnPort: (ofport) => endpointOn(attachments(), ofport) }),
    limits: options.limits,
    log,
    count: (outcome) => samples.inc({ outcome }),
    report: (error) =>
      log.warn({ error: asNetError(error, "log a connection").message }, "A connection could not be logged"),
  });
  const heard = new WeakSet<SwitchConnection>();

  /** Once per connection; a failure ends it, or is tried again with the next sweep. */
  async function listen(): Promise<void> {
    if (!driver.flowConnection.connected) return;
    const connection = driver.flowConnection.connection();
    if (heard.has(connection)) return;
    heard.add(connection);
    try {
      await connection.onPacketIn(connections.receive, { signal });
    } catch (error) {
      heard.delete(connection);
      if (!signal.aborted)
        log.warn(
          { error: asNetError(error, "listen to the switch").message },
          "Open vSwitch sends no samples of connections; netplugin asks again",
        );
    }
  }

  async function sweepRegularly(): Promise<void> {
    while (!signal.aborted) {
      connections.sweep();
      await listen();
      await pause(SWEEP_INTERVAL_MS, signal);
    }
  }

  driver.onChange(() => void listen());
  void sweepRegularly();
  return connections;
}

function endpointOn(attachments: ReadonlyMap<string, Attachment>, ofport: number): string | undefined {
  for (const { endpointKey, ofport: own } of attachments.values()) if (own === ofport) return endpointKey;
  return undefined;
}
