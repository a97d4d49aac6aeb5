import { OVS_CAPABILITIES } from "../../drivers/ovs/pod-ports/network-driver.ts";
import type { OpenOvsDriver } from "../../drivers/ovs/switch.ts";
import { asNetError, type NetError } from "../../state/errors.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import { pause } from "../../state/waiting/pause.ts";
import { bootId } from "../machine/boot-id.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import { keepPresent } from "../report/presence.ts";
import type { Reachability } from "../report/reachability.ts";
import { type ReportedDriver, registrationOf } from "../report/registration.ts";
import { createReportTrigger } from "../report/report-trigger.ts";
import { openSwitch, type SwitchOptions } from "./switch.ts";

export interface AwaitSwitchOptions extends SwitchOptions {
  readonly client: Pick<NodeClient, "register" | "heartbeat">;
  readonly reachability: Reachability;
  /** A heartbeat reached no netmaster. */
  readonly onFailure: () => void;
  /** Why the switch is not there yet, with the next step; told to runtimes and probes meanwhile. */
  readonly onWaiting: (fault: string) => void;
}

const PAUSES = { firstMs: 500, maxMs: 5_000 } as const;
const REPORT_DELAY_MS = 50;
const UNDERLAY_MTU_BYTES = 1_500;
/** Kernel and switch are probed together, later. */
const NOT_PROBED = { ingressPolicing: false, tbf: false, ifbRedirect: false, meters: false, conntrack: false };

/**
 * Opens the switch, however long that takes. Meanwhile netmaster has the node with the fault of its driver, so that an admin sees what is
 * wrong where all nodes are seen; nothing can be attached, and nothing that an earlier run has attached is touched.
 */
export async function awaitSwitch(options: AwaitSwitchOptions): Promise<OpenOvsDriver> {
  const { signal, log, onWaiting } = options;
  const backOff = new BackOff(PAUSES);
  let absence: Absence | undefined;
  try {
    for (;;) {
      try {
        return await openSwitch(options);
      } catch (thrown) {
        signal.throwIfAborted();
        const error = asNetError(thrown, "open the switch");
        if (!isAway(error)) throw error;
        const fault = `Open vSwitch does not answer on this node; see that ovsdb-server and ovs-vswitchd run: ${error.message}`;
        if (absence?.fault !== fault) log.warn({ code: error.code, error: error.message }, "waiting for Open vSwitch");
        absence ??= new Absence(options, fault);
        absence.fault = fault;
        onWaiting(fault);
      }
      await pause(backOff.nextMs(), signal);
    }
  } finally {
    await absence?.[Symbol.asyncDispose]();
  }
}

/** Every other error is not mended by waiting: this process ends with it. */
function isAway({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED" || code === "NOT_FOUND";
}

/** The presence of a node whose switch has not been seen. */
class Absence implements AsyncDisposable {
  fault: string;
  readonly #ending = new AbortController();
  readonly #presence: Promise<void>;

  constructor({ client, reachability, settings, onFailure, log, signal }: AwaitSwitchOptions, fault: string) {
    this.fault = fault;
    const driver: ReportedDriver = { name: "ovs", capabilities: () => OVS_CAPABILITIES, fault: () => this.fault };
    const uplinks = settings.uplinks.map(({ alias, nic }) => ({ alias, nic, mtuBytes: UNDERLAY_MTU_BYTES }));
    const { nodeName, vtepIp } = settings;
    this.#presence = keepPresent({
      ...{ bootId: bootId(), client, reachability, onFailure, log },
      signal: AbortSignal.any([signal, this.#ending.signal]),
      trigger: createReportTrigger(REPORT_DELAY_MS),
      registration: async () =>
        registrationOf({
          ...{ nodeName, bootId: bootId(), vtepIp, uplinks, probed: NOT_PROBED },
          ...{ seenSwitch: undefined, drivers: [driver] },
        }),
      message: () => ({ body: { conditions: [{ type: "switch", status: "failed", message: this.fault }] } }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#presence;
  }
}
