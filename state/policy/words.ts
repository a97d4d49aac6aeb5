import { formatRange } from "../address.ts";
import { protocolName } from "./protocol.ts";
import type { ParsedRule } from "./rule-match.ts";
import type { PolicyPacket } from "./world.ts";

/** A rule as a sentence: `deny tcp to port 8000-8100 from group t1:web, priority 10`. */
export function ruleInWords(rule: ParsedRule): string {
  const { action, direction, priority } = rule;
  const peer = peerInWords(rule);
  const towards = direction === "in" ? "from" : "to";
  const own = rule.ownAddresses === undefined ? "" : ` to ${formatRange(rule.ownAddresses.family, rule.ownAddresses)}`;
  return `${action} ${protocolInWords(rule)}${portsInWords(rule)} ${towards} ${peer}${own}, priority ${priority}`;
}

export function protocolInWords({ protocol }: ParsedRule): string {
  if (protocol === "any") return "every protocol";
  return protocol === "icmp" ? "icmp" : protocolName(protocol);
}

export function portsInWords({ ports }: ParsedRule): string {
  if (ports.length === 0) return "";
  return ` to port ${ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(", ")}`;
}

function peerInWords({ peerGroupKey, peerNetworkKey, peerAddresses }: ParsedRule): string {
  const parts: string[] = [];
  if (peerGroupKey !== undefined) parts.push(`group ${peerGroupKey}`);
  if (peerNetworkKey !== undefined) parts.push(`network ${peerNetworkKey}`);
  if (peerAddresses !== undefined) parts.push(formatRange(peerAddresses.family, peerAddresses));
  return parts.length === 0 ? "anyone" : parts.join(" with ");
}

export function packetInWords({ protocol, port, icmpType, source, destination }: PolicyPacket): string {
  const detail = port !== undefined ? ` to port ${port}` : icmpType !== undefined ? ` type ${icmpType}` : "";
  return `${protocolName(protocol)}${detail} from ${source} to ${destination}`;
}
