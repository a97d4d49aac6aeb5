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

/** Opens the switch, however long that takes; meanwhile the node is told of as one that waits. */
export async function awaitSwitch(options: AwaitSwitchOptions, waiting: WaitingNode): Promise<OpenOvsDriver> {
  const { signal, log, onWaiting } = options;
  const backOff = new BackOff(PAUSES);
  let told = "";
  for (;;) {
    try {
      return await openSwitch(options);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asNetError(thrown, "open the switch");
      if (!isAway(error)) throw error;
      const fault = `Open vSwitch does not answer on this node; see that ovsdb-server and ovs-vswitchd run: ${error.message}`;
      if (told !== fault) log.warn({ code: error.code, error: error.message }, "waiting for Open vSwitch");
      told = fault;
      waiting.tell(() => fault);
      onWaiting(fault);
    }
    await pause(backOff.nextMs(), signal);
  }
}

/** Every other error is not mended by waiting: this process ends with it. */
function isAway({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED";
}

/**
 * The presence of a node that waits for its switch: netmaster has it with the fault of its driver, so that an admin sees what is wrong where
 * all nodes are seen. Nothing can be attached meanwhile, and nothing that an earlier run has attached is touched.
 */
export class WaitingNode implements AsyncDisposable {
  readonly #options: Omit<AwaitSwitchOptions, "onWaiting" | "onFollowed">;
  readonly #ending = new AbortController();
  #fault = () => "";
  #presence: Promise<void> | undefined;

  constructor(options: Omit<AwaitSwitchOptions, "onWaiting" | "onFollowed">) {
    this.#options = options;
  }

  /** What it waits for, from now on; begins to tell of it. */
  tell(fault: () => string): void {
    this.#fault = fault;
    this.#presence ??= this.#keepPresent();
  }

  /** The node is told of by others from now on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    if (this.#presence === undefined) return;
    await this.#presence;
    this.#options.reachability.setRegistered(false); // as a node that has a switch it is not yet
  }

  #keepPresent(): Promise<void> {
    const { client, reachability, settings, onFailure, log, signal } = this.#options;
    const driver: ReportedDriver = { name: "ovs", capabilities: () => OVS_CAPABILITIES, fault: () => this.#fault() };
    const uplinks = settings.uplinks.map(({ alias, nic }) => ({ alias, nic, mtuBytes: UNDERLAY_MTU_BYTES }));
    const { nodeName, vtepIp } = settings;
    return keepPresent({
      ...{ bootId: bootId(), client, reachability, onFailure, log },
      signal: AbortSignal.any([signal, this.#ending.signal]),
      trigger: createReportTrigger(REPORT_DELAY_MS),
      registration: async () =>
        registrationOf({
          ...{ nodeName, bootId: bootId(), vtepIp, uplinks, probed: NOT_PROBED },
          ...{ seenSwitch: undefined, drivers: [driver] },
        }),
      message: () => ({ body: { conditions: [{ type: "switch", status: "failed", message: this.#fault() }] } }),
    });
  }
}
