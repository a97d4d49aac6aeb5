/** What this process knows of netmaster's ear. */
export interface Reachability {
  /** Netmaster has accepted this node (or not any more). */
  setRegistered(registered: boolean): void;
  isRegistered(): boolean;
  /** Why no netmaster was reached; undefined when one was. */
  setNetmasterAway(reason: string | undefined): void;
  netmasterAway(): string | undefined;
  /** Why netmaster does not take what this node says of itself, or why it cannot say it; undefined when it is taken. */
  setRegistrationFault(reason: string | undefined): void;
  registrationFault(): string | undefined;
}

export function createReachability(): Reachability {
  let registered = false;
  let away: string | undefined;
  let fault: string | undefined;
  return {
    setRegistered: (value) => {
      registered = value;
    },
    isRegistered: () => registered,
    setNetmasterAway: (reason) => {
      away = reason;
    },
    netmasterAway: () => away,
    setRegistrationFault: (reason) => {
      fault = reason;
    },
    registrationFault: () => fault,
  };
}
