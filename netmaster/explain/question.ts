import type { AddressFamily } from "../../state/address.ts";
import { NetError } from "../../state/errors.ts";
import { nearHint } from "../../state/near-name.ts";
import { IpProtocol } from "../../state/policy/protocol.ts";
import { invalid, printable } from "../intents/errors.ts";

/** What a client wants to know: would this packet pass? Names are still to be looked up. */
export interface Question {
  readonly from: string;
  readonly to: string;
  /** Empty when not given. */
  readonly tenant: string;
  readonly network: string;
  /** `icmp` is that of the packet's family. */
  readonly protocol: "icmp" | number;
  readonly port: number | undefined;
  readonly icmpType: number | undefined;
  readonly family: AddressFamily | undefined;
}

/** Every parameter of a question, with what it means; the API's description is made of it. */
export const QUESTION_PARAMETERS = {
  from: "who sends: an endpoint (key, id, container, pod or namespace/pod), a group (tenant:group) or an address",
  to: "who receives; as from",
  protocol: "tcp, udp, icmp or a number from 0 to 255",
  port: "destination port, required with tcp and udp; absent with other protocols",
  icmpType: "message type, with icmp; absent: echo request",
  family: "4 or 6; absent: that of the addresses, else 4",
  tenant: "tenant of an address, or of a network that is named without it; absent: found by the other end",
  network: "network of an address: tenant:network, or its name with tenant; absent: found by the other end",
} as const;

export type ParameterName = keyof typeof QUESTION_PARAMETERS;

const MAX_LENGTH = 600;
/** Longest part of an unknown name that an error repeats, in characters. */
const SHOWN_MAX_LENGTH = 80;
const PROTOCOLS: Readonly<Record<string, "icmp" | number>> = { tcp: IpProtocol.tcp, udp: IpProtocol.udp, icmp: "icmp" };
const DIGITS_PATTERN = /^[0-9]{1,5}$/;
/** ICMP echo request (RFC 792), ICMPv6 echo request (RFC 4443 §4.1). */
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;

type Given = (name: ParameterName) => string;

/** Reads a question from the query, or from the body's members; each error names the parameter. */
export function parseQuestion(members: Readonly<Record<string, unknown>>): Question {
  const given: Given = (name) => textOf(members, name);
  const protocol = parseProtocol(given("protocol"));
  return {
    from: required(given, "from"),
    to: required(given, "to"),
    tenant: given("tenant"),
    network: given("network"),
    protocol,
    port: parsePort(given("port"), protocol),
    icmpType: parseIcmpType(given("icmpType"), protocol),
    family: parseFamily(given("family")),
  };
}

/** A slip of the pen must not be answered as if it had not been there. */
export function refuseUnknown(members: Readonly<Record<string, unknown>>, known: readonly string[]): void {
  const unknown = Object.keys(members).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw invalid(printable(unknown.slice(0, SHOWN_MAX_LENGTH)), `is not known here${nearHint(unknown, known)}`);
}

function textOf(members: Readonly<Record<string, unknown>>, name: ParameterName): string {
  const value = Object.hasOwn(members, name) ? (members[name] ?? "") : "";
  if (typeof value !== "string" && typeof value !== "number") throw invalid(name, "must be a text or a number");
  const text = String(value).trim();
  if (text.length > MAX_LENGTH) throw invalid(name, `is longer than ${MAX_LENGTH} characters`);
  return text;
}

function required(given: Given, name: "from" | "to" | "protocol"): string {
  const text = given(name);
  if (text !== "") return text;
  throw missing(name, `give ${QUESTION_PARAMETERS[name]}`);
}

function missing(name: ParameterName, hint: string): NetError {
  return new NetError("INVALID", `${name} is required: ${hint}`, { reason: "missing-field", field: name });
}

function parseProtocol(text: string): Question["protocol"] {
  if (text === "") throw missing("protocol", `give ${QUESTION_PARAMETERS.protocol}`);
  const named = PROTOCOLS[text.toLowerCase()];
  if (named !== undefined) return named;
  const number = numberIn(text, { first: 0, last: 255 });
  if (number === undefined) throw invalid("protocol", `must be ${QUESTION_PARAMETERS.protocol}, not "${text}"`);
  return number;
}

function hasPorts(protocol: Question["protocol"]): boolean {
  return protocol === IpProtocol.tcp || protocol === IpProtocol.udp;
}

function parsePort(text: string, protocol: Question["protocol"]): number | undefined {
  if (text === "") {
    if (hasPorts(protocol)) throw missing("port", "rules for tcp and udp can name ports; give the destination port");
    return undefined;
  }
  if (!hasPorts(protocol)) throw invalid("port", "needs the protocol tcp or udp");
  const port = numberIn(text, { first: 1, last: 65_535 });
  if (port === undefined) throw invalid("port", `must be a number from 1 to 65535, not "${text}"`);
  return port;
}

function isIcmp(protocol: Question["protocol"]): boolean {
  return protocol === "icmp" || protocol === IpProtocol.icmp || protocol === IpProtocol.icmpv6;
}

function parseIcmpType(text: string, protocol: Question["protocol"]): number | undefined {
  if (text === "") return undefined;
  if (!isIcmp(protocol)) throw invalid("icmpType", "needs the protocol icmp");
  const type = numberIn(text, { first: 0, last: 255 });
  if (type === undefined) throw invalid("icmpType", `must be a number from 0 to 255, not "${text}"`);
  return type;
}

function parseFamily(text: string): AddressFamily | undefined {
  if (text === "") return undefined;
  if (text === "4") return 4;
  if (text === "6") return 6;
  throw invalid("family", `must be 4 or 6, not "${text}"`);
}

function numberIn(text: string, { first, last }: { readonly first: number; readonly last: number }) {
  const value = DIGITS_PATTERN.test(text) ? Number(text) : -1;
  return first <= value && value <= last ? value : undefined;
}

/** Protocol, port and message type as a packet of that family carries them. */
export function transportOf(
  { protocol, port, icmpType }: Question,
  family: AddressFamily,
): { readonly protocol: number; readonly port?: number; readonly icmpType?: number } {
  const number = protocol === "icmp" ? (family === 4 ? IpProtocol.icmp : IpProtocol.icmpv6) : protocol;
  if (port !== undefined) return { protocol: number, port };
  return isIcmp(protocol) ? { protocol: number, icmpType: icmpType ?? ECHO_REQUEST[family] } : { protocol: number };
}
