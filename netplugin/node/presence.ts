import type { RegisterReply } from "../../state/node-api.ts";
import { bootId } from "../machine/boot-id.ts";
import type { LeaseKeeper } from "../reconcile/leases/lease-keeper.ts";
import { conditionsOf } from "../report/conditions.ts";
import type { NodeReport } from "../report/node-report.ts";
import { keepPresent, type Message } from "../report/presence.ts";
import { type ReportedDriver, registrationOf } from "../report/registration.ts";
import type { ToldNode } from "../report/told-node.ts";
import type { Capabilities } from "./capabilities.ts";

export interface NodePresenceOptions {
  readonly told: ToldNode;
  readonly report: NodeReport;
  readonly capabilities: Capabilities;
  readonly leases: Pick<LeaseKeeper, "repair">;
  readonly onFirstRegistration: (reply: RegisterReply) => void;
  readonly onFailure: () => void;
  readonly signal: AbortSignal;
}

/** Netmaster hears of a node whose parts are all up; ends with the signal. */
export function keepNodePresent(options: NodePresenceOptions): Promise<void> {
  const { told, report, capabilities, leases, onFirstRegistration, onFailure, signal } = options;
  const { nodeName, client, reachability, offers, log, ovs, drivers } = told;
  const lasting = new LastingFaults();
  return keepPresent({
    ...{
      bootId: bootId(),
      client,
      reachability,
      offers,
      trigger: report.trigger,
      onFirstRegistration,
      onFailure,
      log,
      signal,
    },
    settle: leases.repair,
    message: () => messageOf(told, report),
    registration: async () =>
      registrationOf({
        ...{ nodeName, bootId: bootId(), vtepIp: await told.vtep.registrable(), probed: capabilities },
        uplinks: ovs.uplinks().values(),
        seenSwitch: { datapathType: ovs.datapathType, ovsVersion: ovs.ovsVersion },
        drivers: [...drivers.values()].map((driver) => lasting.of(driver)),
      }),
  });
}

/** What was counted is told again until netmaster has taken it. */
function messageOf(told: ToldNode, { deltas, enforcement }: NodeReport): Message {
  const hits = deltas.report();
  const body = {
    conditions: conditionsOf(told),
    readiness: told.readiness.told(),
    receipt: enforcement.receipt(),
    bandwidth: [...told.traffic.nextReports()],
    ceilings: [...told.traffic.nextCeilings()],
  };
  if (hits === undefined) return { body };
  return { body: { ...body, hits }, onTaken: () => deltas.acknowledge(hits.sequence) };
}

/** A switch that restarts is away for seconds: that is a condition, and no change of the registration, which all peers would hear of. */
const LASTING_MS = 10_000;

/** Faults that have lasted for a while. */
class LastingFaults {
  readonly #sinceMs = new Map<string, number>();

  of(driver: ReportedDriver): ReportedDriver {
    return { name: driver.name, capabilities: () => driver.capabilities(), fault: () => this.#lasting(driver) };
  }

  #lasting(driver: ReportedDriver): string | undefined {
    const fault = driver.fault();
    if (fault === undefined) {
      this.#sinceMs.delete(driver.name);
      return undefined;
    }
    const sinceMs = this.#sinceMs.get(driver.name) ?? performance.now();
    this.#sinceMs.set(driver.name, sinceMs);
    return performance.now() - sinceMs >= LASTING_MS ? fault : undefined;
  }
}
