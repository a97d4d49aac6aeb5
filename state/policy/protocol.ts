import type { AddressFamily } from "../address.ts";
import type { Rule } from "../kinds/rule.ts";

/** IP protocol numbers (IANA "Protocol Numbers") that rules treat specially. */
export const IpProtocol = { icmp: 1, tcp: 6, udp: 17, fragment: 44, icmpv6: 58 } as const;

/** What a rule says of the protocol: nothing, ICMP of the packet's own family, or one number. */
export type RuleProtocol = "any" | "icmp" | number;

/** Reads the rule's `protocol` (contract §6.5); it has passed its schema. */
export function parseRuleProtocol(text: Rule["protocol"]): RuleProtocol {
  if (text === "") return "any";
  if (text === "icmp") return "icmp";
  if (text === "tcp") return IpProtocol.tcp;
  return text === "udp" ? IpProtocol.udp : Number(text);
}

/** The number that the rule asks for in packets of that family; undefined = every protocol. */
export function protocolNumber(protocol: RuleProtocol, family: AddressFamily): number | undefined {
  if (protocol === "any") return undefined;
  if (protocol === "icmp") return family === 4 ? IpProtocol.icmp : IpProtocol.icmpv6;
  return protocol;
}

/** Only these carry ports that a rule can name (contract §13 row 4). */
export function hasPorts(protocol: RuleProtocol): protocol is 6 | 17 {
  return protocol === IpProtocol.tcp || protocol === IpProtocol.udp;
}

/** Router and neighbour solicitations and advertisements, redirects (RFC 4861 §4): never blocked by a rule. */
export const NEIGHBOUR_DISCOVERY_TYPES = { first: 133, last: 137 } as const;

/** The protocol as an admin writes it. */
export function protocolName(number: number): string {
  const names: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6" };
  return names[number] ?? `protocol ${number}`;
}
