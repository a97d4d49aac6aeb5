import { OVS_CAPABILITIES } from "../../drivers/ovs/pod-ports/network-driver.ts";
import type { OpenOvsDriver } from "../../drivers/ovs/switch.ts";
import { asNetError, type NetError } from "../../state/errors.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import { pause } from "../../state/waiting/pause.ts";
import { bootId } from "../machine/boot-id.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import { keepPresent } from "../report/presence.ts";
import { isAway, type Reachability } from "../report/reachability.ts";
import type { NodeReadiness } from "../report/readiness.ts";
import { type ReportedDriver, registrationOf } from "../report/registration.ts";
import { createReportTrigger } from "../report/report-trigger.ts";
import { openSwitch, type SwitchOptions } from "./switch.ts";

export interface AwaitSwitchOptions extends Omit<SwitchOptions, "onTrouble" | "onDatabase"> {
  readonly client: Pick<NodeClient, "register" | "heartbeat">;
  readonly reachability: Reachability;
  readonly readiness: NodeReadiness;
  /** A heartbeat reached no netmaster. */
  readonly onFailure: () => void;
}

const PAUSES = { firstMs: 500, maxMs: 5_000 } as const;
const REPORT_DELAY_MS = 50;
/** A switch that starts beside this process is there sooner: its driver's fault would change the registration, which all peers hear of. */
const LASTING_MS = 4_000;
const UNDERLAY_MTU_BYTES = 1_500;
/** Kernel and switch are probed together, later. */
const NOT_PROBED = { ingressPolicing: false, tbf: false, ifbRedirect: false, meters: false, conntrack: false };

/** A switch that runs answers sooner. */
export const PATIENCE_MS = 1_000;
const AWAY = "Open vSwitch does not answer on this node; see that ovsdb-server and ovs-vswitchd run";

/** Opens the switch, however long that takes; meanwhile the node is told of as one that waits, with the reason. */
export async function awaitSwitch(options: AwaitSwitchOptions, waiting: WaitingNode): Promise<OpenOvsDriver> {
  const { signal, readiness, settings, log } = options;
  const socket = `${settings.ovsRunDirectory}/db.sock`;
  const backOff = new BackOff(PAUSES);
  const patience = new Patience((cause) => {
    readiness.switchFault(`${AWAY}: ${cause}`);
    waiting.tell(() => `${AWAY}: ${cause}`);
  });
  const onTrouble = ({ code, message }: NetError) => {
    log.debug({ code, error: message }, "The connection to Open vSwitch has failed");
    if (patience.isOver) readiness.request();
    else patience.tell(message);
  };
  const onDatabase = () => {
    if (!patience.hasTold) readiness.step("setting up bridges and uplinks in Open vSwitch");
    patience.await("ovs-vswitchd has not set up the bridges, though ovsdb-server answers");
  };
  readiness.step(`connecting to Open vSwitch at ${socket}`);
  patience.await(`ovsdb-server has not answered at ${socket}`);
  for (;;) {
    try {
      const ovs = await openSwitch({ ...options, onTrouble, onDatabase });
      patience.end();
      return ovs;
    } catch (thrown) {
      if (signal.aborted) patience.end();
      signal.throwIfAborted();
      const error = asNetError(thrown, "open the switch");
      if (!isAway(error)) throw error;
      patience.tell(error.message);
    }
    await pause(backOff.nextMs(), signal);
  }
}

/** Tells why the switch is not there yet: at once what has failed, after a while what has not been answered. */
class Patience {
  readonly #tell: (cause: string) => void;
  #timer: NodeJS.Timeout | undefined;
  hasTold = false;
  isOver = false;

  constructor(tell: (cause: string) => void) {
    this.#tell = tell;
  }

  await(lacking: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.tell(`${lacking} within ${PATIENCE_MS} ms`), PATIENCE_MS).unref();
  }

  tell(cause: string): void {
    clearTimeout(this.#timer);
    this.hasTold = true;
    this.#tell(cause);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.isOver = true;
  }
}

/**
 * The presence of a node that waits for its switch: netmaster has it with the fault of its driver, so that an admin sees what is wrong where
 * all nodes are seen. Nothing can be attached meanwhile, and nothing that an earlier run has attached is touched.
 */
export class WaitingNode implements AsyncDisposable {
  readonly #options: Omit<AwaitSwitchOptions, "onFollowed">;
  readonly #ending = new AbortController();
  #fault = () => "";
  #presence: Promise<void> | undefined;
  #sinceMs = 0;

  constructor(options: Omit<AwaitSwitchOptions, "onFollowed">) {
    this.#options = options;
  }

  /** What it waits for, from now on; begins to tell of it. */
  tell(fault: () => string): void {
    this.#fault = fault;
    if (this.#presence !== undefined) return;
    this.#sinceMs = performance.now();
    this.#presence = this.#keepPresent();
  }

  /** The node is told of by others from now on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    if (this.#presence === undefined) return;
    await this.#presence;
    this.#options.reachability.setRegistered(false); // as a node that has a switch it is not yet
  }

  #keepPresent(): Promise<void> {
    const { client, reachability, readiness, settings, onFailure, log, signal } = this.#options;
    const isLasting = () => performance.now() - this.#sinceMs >= LASTING_MS;
    const fault = () => (isLasting() ? this.#fault() : undefined);
    const driver: ReportedDriver = { name: "ovs", capabilities: () => OVS_CAPABILITIES, fault };
    const trigger = createReportTrigger(REPORT_DELAY_MS);
    readiness.onChange(trigger.request);
    const uplinks = settings.uplinks.map(({ alias, nic }) => ({ alias, nic, mtuBytes: UNDERLAY_MTU_BYTES }));
    const { nodeName, vtepIp } = settings;
    return keepPresent({
      ...{ bootId: bootId(), client, reachability, onFailure, log },
      signal: AbortSignal.any([signal, this.#ending.signal]),
      trigger,
      registration: async () =>
        registrationOf({
          ...{ nodeName, bootId: bootId(), vtepIp, uplinks, probed: NOT_PROBED },
          ...{ seenSwitch: undefined, drivers: [driver] },
        }),
      message: () => ({
        body: {
          conditions: [{ type: "switch", status: "failed", message: this.#fault() }],
          readiness: readiness.told(),
        },
      }),
    });
  }
}
