import { type ErrorCode, type ErrorDetails, NetError, STORE_FULL, UNKNOWN_REFERENCE } from "../../state/errors.ts";

/** What can be wrong with a CNI call itself, in the words of the specification (1.1.0, "Error"). */
export type CniFault =
  | "incompatible-version"
  | "unsupported-field"
  | "container-unknown"
  | "invalid-environment"
  | "io"
  | "undecodable"
  | "invalid-config"
  | "try-again"
  | "not-available"
  | "not-available-limited";

const FAULTS: Readonly<Record<CniFault, { readonly cniCode: number; readonly errorCode: ErrorCode }>> = {
  "incompatible-version": { cniCode: 1, errorCode: "UNSUPPORTED" },
  "unsupported-field": { cniCode: 2, errorCode: "UNSUPPORTED" },
  "container-unknown": { cniCode: 3, errorCode: "NOT_FOUND" },
  "invalid-environment": { cniCode: 4, errorCode: "INVALID" },
  io: { cniCode: 5, errorCode: "PROTOCOL" },
  undecodable: { cniCode: 6, errorCode: "PROTOCOL" },
  "invalid-config": { cniCode: 7, errorCode: "INVALID" },
  "try-again": { cniCode: 11, errorCode: "UNAVAILABLE" },
  "not-available": { cniCode: 50, errorCode: "UNAVAILABLE" },
  "not-available-limited": { cniCode: 51, errorCode: "UNAVAILABLE" },
};

/** Codes for errors that are no CniFault; from 100 on they are this plugin's own (docs/reference/cni-errors.md lists them). */
const CODES: Readonly<Record<ErrorCode, { readonly cniCode: number; readonly nextStep: string }>> = {
  INVALID: { cniCode: 7, nextStep: "correct the pod's labels or the network configuration" },
  NOT_FOUND: { cniCode: 100, nextStep: "create the named object, or correct the pod's io.contiv.* labels" },
  CONFLICT: { cniCode: 101, nextStep: "free what is named, or choose another" },
  IN_USE: { cniCode: 101, nextStep: "free what is named, or choose another" },
  IMMUTABLE: { cniCode: 101, nextStep: "delete the attachment and add it anew" },
  PRECONDITION: { cniCode: 101, nextStep: "delete the attachment and add it anew" },
  EXHAUSTED: { cniCode: 102, nextStep: "widen the subnet or pool, or remove pods" },
  FORBIDDEN: { cniCode: 103, nextStep: "check this node's certificate and name in netmaster" },
  REJECTED: { cniCode: 104, nextStep: "see netplugin's log on this node for what refused it, and GET /readyz" },
  UNSUPPORTED: { cniCode: 105, nextStep: "see this node's conditions in netmaster for what it can do" },
  UNAVAILABLE: { cniCode: 11, nextStep: "see that netmaster and Open vSwitch are up; the runtime may try again" },
  TIMEOUT: { cniCode: 11, nextStep: "see that netmaster and Open vSwitch are up; the runtime may try again" },
  PROTOCOL: { cniCode: 11, nextStep: "see netplugin's log; the runtime may try again" },
  CLOSED: { cniCode: 11, nextStep: "netplugin is stopping or starting; the runtime may try again" },
  INTERNAL: { cniCode: 999, nextStep: "this is a defect: report it with netplugin's log" },
};

/** Codes of NetError that mean "ADD would fail" when STATUS asks. */
const NOT_READY: ReadonlySet<ErrorCode> = new Set(["UNAVAILABLE", "TIMEOUT", "PROTOCOL", "CLOSED", "EXHAUSTED"]);

/** Next steps of reasons that their code's would miss. */
const NEXT_STEP_BY_REASON: Readonly<Record<string, string>> = {
  [STORE_FULL]: "make room in etcd (compact, defragment, disarm the alarm); the runtime may try again",
};

/** Reasons whose message says the next step itself. */
const SAYS_NEXT_STEP: ReadonlySet<string> = new Set([UNKNOWN_REFERENCE]);

const REASON_PREFIX = "cni/";
const TEXT_MAX_LENGTH = 4_096;
const CAUSES_MAX = 5;

/** An error of the call itself; `message` names the variable or field and the next step. */
export function cniFault(fault: CniFault, message: string, details: ErrorDetails = {}): NetError {
  return new NetError(FAULTS[fault].errorCode, message, { ...details, reason: `${REASON_PREFIX}${fault}` });
}

/** The error object of the specification. */
export interface CniErrorObject {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** Translates anything thrown; `cniVersion` is the configuration's, `command` decides between 11 and 50. */
export function cniErrorOf(thrown: unknown, context: { cniVersion: string; command: string }): CniErrorObject {
  const msg = textOf(thrown).slice(0, TEXT_MAX_LENGTH);
  const { cniCode, nextStep } = judge(thrown, context.command);
  const details = [...causesOf(thrown), ...blockersOf(thrown), ...(nextStep === undefined ? [] : [nextStep])].join(
    "; ",
  );
  const error = { cniVersion: context.cniVersion, code: cniCode, msg };
  return details === "" ? error : { ...error, details: details.slice(0, TEXT_MAX_LENGTH) };
}

function judge(thrown: unknown, command: string): { cniCode: number; nextStep?: string } {
  if (!(thrown instanceof NetError)) return CODES.INTERNAL;
  const fault = faultOf(thrown);
  if (fault !== undefined) return { cniCode: FAULTS[fault].cniCode };
  const { cniCode, nextStep: usual } = CODES[thrown.code];
  if (SAYS_NEXT_STEP.has(thrown.reason ?? "")) return { cniCode };
  const mapped = { cniCode, nextStep: NEXT_STEP_BY_REASON[thrown.reason ?? ""] ?? ofErrno(thrown) ?? usual };
  return command === "STATUS" && NOT_READY.has(thrown.code) ? { ...mapped, cniCode: 50 } : mapped;
}

/** What the kernel said, where it says more than "refused". */
const NEXT_STEP_BY_ERRNO: Readonly<Record<string, string>> = {
  EOPNOTSUPP: "this node's kernel lacks what is needed; see the node's conditions for what it can do",
  EPERM: "netplugin may not do this; give it the capabilities of its unit file (CAP_NET_ADMIN, CAP_SYS_ADMIN)",
  EACCES: "netplugin may not do this; give it the capabilities of its unit file (CAP_NET_ADMIN, CAP_SYS_ADMIN)",
  ENOMEM: "this node is out of memory; free some, the runtime may try again",
  ENOBUFS: "this node's kernel is out of buffers; the runtime may try again",
  EADDRNOTAVAIL: "the pod's namespace refuses the address; see its sysctls (net.ipv6.conf.*.disable_ipv6)",
};

/** Errors of netlink have the errno for their reason (drivers/netlink/errno.ts). */
function ofErrno({ code, reason }: NetError): string | undefined {
  return code === "REJECTED" ? NEXT_STEP_BY_ERRNO[reason ?? ""] : undefined;
}

/** Every code, with the next steps that its `details` may end with; faults of the call say theirs in the message. */
export function cniNextStepsByCode(): ReadonlyMap<number, readonly string[]> {
  const steps = new Map<number, Set<string>>(Object.values(FAULTS).map(({ cniCode }) => [cniCode, new Set()]));
  for (const { cniCode, nextStep } of Object.values(CODES))
    steps.set(cniCode, (steps.get(cniCode) ?? new Set()).add(nextStep));
  for (const step of Object.values(NEXT_STEP_BY_REASON)) steps.get(CODES.UNAVAILABLE.cniCode)?.add(step);
  for (const step of Object.values(NEXT_STEP_BY_ERRNO)) steps.get(CODES.REJECTED.cniCode)?.add(step);
  return new Map([...steps].map(([code, each]) => [code, [...each]]));
}

function faultOf(error: NetError): CniFault | undefined {
  const name = error.reason?.startsWith(REASON_PREFIX) ? error.reason.slice(REASON_PREFIX.length) : "";
  return (Object.keys(FAULTS) as CniFault[]).find((fault) => fault === name);
}

function textOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text === "" ? "unknown error" : text;
}

function causesOf(thrown: unknown): string[] {
  const texts: string[] = [];
  let cause = thrown instanceof Error ? thrown.cause : undefined;
  while (cause !== undefined && texts.length < CAUSES_MAX) {
    texts.push(textOf(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return texts;
}

function blockersOf(thrown: unknown): string[] {
  const blockers = thrown instanceof NetError ? (thrown.blockers ?? []) : [];
  return blockers.length === 0 ? [] : [`in the way: ${blockers.join(", ")}`];
}
