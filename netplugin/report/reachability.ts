import type { LineLog } from "../../state/daemon-log.ts";
import type { NetError } from "../../state/errors.ts";
import { LossLog } from "../../state/loss-log.ts";

/** What this process knows of its way to netmaster; logs when it is lost and when it is back. */
export interface Reachability {
  /** Netmaster has accepted this node (or not any more). */
  setRegistered(registered: boolean): void;
  isRegistered(): boolean;
  /** What became of the last report to netmaster; undefined: it was taken. */
  setReport(error: NetError | undefined): void;
  /** Why the last report was not taken: no netmaster was reached, or it refused; undefined when it was taken. */
  netmasterFault(): string | undefined;
  /** Why netmaster does not take what this node says of itself, or why it cannot say it; undefined when it is taken. */
  setRegistrationFault(reason: string | undefined): void;
  registrationFault(): string | undefined;
}

export interface ReachabilityOptions {
  readonly log: LineLog;
  /** Something of it has changed. */
  readonly onChange?: () => void;
}

export function createReachability({ log, onChange = () => undefined }: ReachabilityOptions): Reachability {
  const lost = "No netmaster answers; running pods are not affected, attaching pods fails until one answers";
  const loss = new LossLog({ log, lost, back: "A netmaster answers again" });
  let registered = false;
  let fault: string | undefined;
  let refusal: string | undefined;
  let registrationFault: string | undefined;
  /** One line when it begins, not one for each attempt. */
  function noteRefusal(error: NetError | undefined): void {
    if (error !== undefined && error.message !== refusal)
      log.warn({ code: error.code, error: error.message }, "This node cannot be registered; netplugin tries again");
    if (error === undefined && refusal !== undefined) log.info({}, "This node is registered");
    refusal = error?.message;
  }
  return {
    setRegistered: (value) => {
      registered = value;
      onChange();
    },
    isRegistered: () => registered,
    setReport: (error) => {
      const isUnreached = error !== undefined && isAway(error);
      if (isUnreached) loss.lost(error);
      else {
        loss.back();
        noteRefusal(error);
      }
      fault = error?.message;
      onChange();
    },
    netmasterFault: () => fault,
    setRegistrationFault: (reason) => {
      registrationFault = reason;
    },
    registrationFault: () => registrationFault,
  };
}

/** No netmaster gave an answer of its own; every other error is one, or is found out here. */
export function isAway({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED";
}
