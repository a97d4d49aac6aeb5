import type { Logger } from "pino";
import { type OpenOvsDriver, openOvsDriver } from "../../drivers/ovs/switch.ts";
import type { NetError } from "../../state/errors.ts";
import { COOKIE_OURS } from "../desired/pipeline/pipeline.ts";
import { reachNetmaster } from "../node-client/reach.ts";
import { isAway } from "../report/reachability.ts";
import type { NodeSettings } from "../settings.ts";

export interface SwitchOptions {
  readonly settings: NodeSettings;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Addresses, routes or NICs of uplinks are others now. */
  readonly onFollowed: () => void;
  /** The connection to the switch has failed or ended; it is tried again. */
  readonly onTrouble: (error: NetError) => void;
  /** The switch's database has answered; its daemon is asked next. */
  readonly onDatabase: () => void;
}

/** Whoever waits longer wants to be told why. */
const START_TIMEOUT_MS = 5_000;

/** Connects to Open vSwitch and makes bridges, tunnel and uplinks. @throws NetError when it does not answer */
export function openSwitch({ settings, log, signal, ...on }: SwitchOptions): Promise<OpenOvsDriver> {
  return openOvsDriver({
    runDirectory: settings.ovsRunDirectory,
    datapath: settings.datapath,
    uplinks: settings.uplinks,
    allowDefaultRouteUplink: settings.allowDefaultRouteUplink,
    vxlanUdpPort: settings.vxlanUdpPort,
    cookie: COOKIE_OURS.cookie,
    cookieMask: COOKIE_OURS.mask,
    verifyUplink: (attempt) => reachNetmaster(settings.netmasterUrls, attempt),
    signal,
    startTimeoutMs: START_TIMEOUT_MS,
    report: (error) => {
      if (isAway(error)) on.onTrouble(error);
      else log.warn({ code: error.code, error: error.message }, "A task of the Open vSwitch driver failed");
    },
    onDatabase: on.onDatabase,
    onRepair: (found) =>
      log.warn({ found }, "Bridges, their ports or addresses were not as they should be; they are repaired"),
    onMirrors: (mirrors) =>
      log.warn({ mirrors }, "Mirrors copy packets of contiv's bridges; contiv does not change them"),
    onFollowed: (changes) => {
      log.warn({ changes }, "Addresses, routes or NICs of uplinks have changed; this node uses the new ones");
      on.onFollowed();
    },
  });
}

/** Resolves when the switch takes flows. */
export async function whenConnected({ flowConnection, onChange }: OpenOvsDriver, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (flowConnection.connected) return;
  await new Promise<void>((resolve, reject) => {
    const settle = (act: () => void) => () => {
      stop();
      signal.removeEventListener("abort", fail);
      act();
    };
    const fail = settle(() => reject(signal.reason));
    const stop = onChange(() => (flowConnection.connected ? settle(resolve)() : undefined));
    signal.addEventListener("abort", fail, { once: true });
  });
}
