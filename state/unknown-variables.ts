import { NetError } from "./errors.ts";
import { nearestName } from "./near-name.ts";

export interface DaemonVariables {
  /** Of all the daemon's variables, as `CONTIV_NETMASTER_`. */
  readonly prefix: string;
  /** Full names of those that it reads. */
  readonly known: readonly string[];
}

/** Variables with our common prefix that are not a daemon's. */
const COMMON_PREFIX = "CONTIV_";
const OTHERS: readonly string[] = ["CONTIV_CNI_SOCKET"];

/**
 * What kubelet sets in each pod for a service: one that is called contiv-netmaster makes CONTIV_NETMASTER_SERVICE_HOST,
 * CONTIV_NETMASTER_PORT, CONTIV_NETMASTER_PORT_9999_TCP_ADDR and more (kubernetes, pkg/kubelet/envvars/envvars.go).
 */
const OF_KUBERNETES = /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/;

/**
 * Refuses variables that are meant for this daemon and would be ignored: unknown ones with its prefix, and those that are almost one of
 * its own. @throws NetError INVALID
 */
export function refuseUnknownVariables(
  env: Readonly<Record<string, string | undefined>>,
  { prefix, known }: DaemonVariables,
): void {
  for (const name of Object.keys(env).sort()) {
    if (known.includes(name) || OTHERS.includes(name)) continue;
    const withoutDaemon = name.startsWith(COMMON_PREFIX) ? prefix + name.slice(COMMON_PREFIX.length) : name;
    const near = known.includes(withoutDaemon) ? withoutDaemon : nearestName(name, known);
    const isOurs = name.startsWith(prefix) && !OF_KUBERNETES.test(name);
    if (near === undefined && !isOurs) continue;
    const hint = near === undefined ? "--help lists those that there are" : `did you mean ${near}?`;
    throw new NetError("INVALID", `environment variable ${name} is unknown; ${hint}`, { field: name });
  }
}
