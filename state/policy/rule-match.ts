import type { AddressFamily, AddressRange } from "../address.ts";
import type { NumberRange } from "../allocators/id-pool.ts";
import type { GroupId } from "../ids.ts";
import type { Rule, RuleRecord } from "../kinds/rule.ts";
import { networkRanges } from "../network-ranges.ts";
import { parseRuleAddress, type RuleAddresses } from "../rule-address.ts";
import { hasPorts, parseRuleProtocol, type RuleProtocol } from "./protocol.ts";
import type { PolicyWorld } from "./world.ts";

/** What a rule says, without its references looked up. The peer is the sender of an in-rule, the receiver of an out-rule. */
export interface ParsedRule {
  readonly record: RuleRecord;
  readonly direction: Rule["direction"];
  readonly action: Rule["action"];
  /** 1 to 100; the higher wins, and deny wins among equals. */
  readonly priority: number;
  readonly protocol: RuleProtocol;
  /** Destination ports; empty = any. */
  readonly ports: readonly NumberRange[];
  /** Keys of the objects that stand for the peer. */
  readonly peerGroupKey: string | undefined;
  readonly peerNetworkKey: string | undefined;
  readonly peerAddresses: RuleAddresses | undefined;
  /** `toIpAddress` of an in-rule: the endpoint's own address. */
  readonly ownAddresses: RuleAddresses | undefined;
  /** Why the rule can match nothing, whatever exists. */
  readonly defect: string | undefined;
}

/** Addresses of one family; a rule matches a packet that comes from (or goes to) one of these. */
export interface FamilyRange extends AddressRange {
  readonly family: AddressFamily;
}

/** A rule whose references have been looked up. */
export interface ResolvedRule extends ParsedRule {
  readonly peerGroupId: GroupId | undefined;
  /** The peer's addresses; undefined = any. */
  readonly peerRanges: readonly FamilyRange[] | undefined;
  /** Why the rule matches nothing now; undefined for a rule in force. */
  readonly unresolved: string | undefined;
}

const parsedByConfig = new WeakMap<Rule, ParsedRule>();

/** Reads a stored rule; once per configuration object. */
export function parseRule(record: RuleRecord): ParsedRule {
  const known = parsedByConfig.get(record.config);
  if (known !== undefined) return known;
  const parsed = parseFields(record);
  parsedByConfig.set(record.config, parsed);
  return parsed;
}

function parseFields(record: RuleRecord): ParsedRule {
  const { config } = record;
  const isIn = config.direction === "in";
  const peerAddresses = addressesOf(isIn ? config.fromIpAddress : config.toIpAddress);
  const ownAddresses = addressesOf(isIn ? config.toIpAddress : "");
  const protocol = parseRuleProtocol(config.protocol);
  const ports = portsOf(config);
  return {
    record,
    direction: config.direction,
    action: config.action,
    priority: config.priority === 0 ? 1 : config.priority,
    protocol,
    ports,
    peerGroupKey: keyOf(config, isIn ? config.fromEndpointGroup : config.toEndpointGroup),
    peerNetworkKey: keyOf(config, isIn ? config.fromNetwork : config.toNetwork),
    peerAddresses: typeof peerAddresses === "string" ? undefined : peerAddresses,
    ownAddresses: typeof ownAddresses === "string" ? undefined : ownAddresses,
    defect: defectOf(config, { protocol, ports, addresses: [peerAddresses, ownAddresses] }),
  };
}

/** Undefined = none given; a text says what is wrong with it. */
function addressesOf(text: string): RuleAddresses | string | undefined {
  return text === "" ? undefined : parseRuleAddress(text);
}

function keyOf({ tenantName }: Rule, name: string): string | undefined {
  return name === "" ? undefined : `${tenantName}:${name}`;
}

function portsOf({ port, portEnd, ports }: Rule): readonly NumberRange[] {
  if (ports !== undefined && ports.length > 0) return mergedPorts(ports);
  return port === 0 ? [] : [{ first: port, last: Math.max(port, portEnd ?? port) }];
}

/** Ascending, without repetitions, neighbours joined. */
function mergedPorts(ports: readonly number[]): readonly NumberRange[] {
  const merged: { first: number; last: number }[] = [];
  for (const port of [...ports].sort((left, right) => left - right)) {
    const previous = merged.at(-1);
    if (previous !== undefined && port <= previous.last + 1) previous.last = port;
    else merged.push({ first: port, last: port });
  }
  return merged;
}

interface Read {
  readonly protocol: RuleProtocol;
  readonly ports: readonly NumberRange[];
  readonly addresses: readonly (RuleAddresses | string | undefined)[];
}

/** Contradictions that are refused on create; should one be stored nevertheless, it must not widen the rule. */
function defectOf(config: Rule, { protocol, ports, addresses }: Read): string | undefined {
  const wrongAddress = addresses.find((each) => typeof each === "string");
  if (typeof wrongAddress === "string") return `its address ${wrongAddress}`;
  if (ports.length > 0 && !hasPorts(protocol)) return "it names a port without the protocol tcp or udp";
  const { direction, toEndpointGroup, toNetwork, fromEndpointGroup, fromNetwork, fromIpAddress } = config;
  const foreign = direction === "in" ? [toEndpointGroup, toNetwork] : [fromEndpointGroup, fromNetwork, fromIpAddress];
  if (foreign.some((text) => text !== "")) return `it names the wrong side for a rule of direction "${direction}"`;
  return exclusionDefect(
    direction === "in"
      ? [fromNetwork, fromEndpointGroup, fromIpAddress]
      : [toNetwork, toEndpointGroup, config.toIpAddress],
  );
}

function exclusionDefect([network, group, address]: readonly [string, string, string]): string | undefined {
  if (network === "") return undefined;
  if (group !== "") return "it names a network and a group, which exclude each other";
  return address === "" ? undefined : "it names a network and an address, which exclude each other";
}

/** Looks the references up. What is unknown makes the rule match nothing, never anything. */
export function resolveRule(world: PolicyWorld, record: RuleRecord): ResolvedRule {
  const parsed = parseRule(record);
  const group = parsed.peerGroupKey === undefined ? undefined : world.group(parsed.peerGroupKey);
  return {
    ...parsed,
    peerGroupId: group?.groupId,
    peerRanges: peerRanges(world, parsed),
    unresolved: parsed.defect ?? unresolvedReference(world, parsed),
  };
}

function unresolvedReference(world: PolicyWorld, { peerGroupKey, peerNetworkKey }: ParsedRule): string | undefined {
  if (peerGroupKey !== undefined && world.group(peerGroupKey) === undefined) {
    return `endpoint group ${peerGroupKey} does not exist`;
  }
  if (peerNetworkKey !== undefined && world.network(peerNetworkKey) === undefined) {
    return `network ${peerNetworkKey} does not exist`;
  }
  return undefined;
}

/** Undefined = any address. */
function peerRanges(
  world: PolicyWorld,
  { peerAddresses, peerNetworkKey }: ParsedRule,
): readonly FamilyRange[] | undefined {
  if (peerAddresses !== undefined) return [peerAddresses];
  if (peerNetworkKey === undefined) return undefined;
  const network = world.network(peerNetworkKey);
  if (network === undefined) return [];
  const { ipv4, ipv6 } = networkRanges(network.config);
  return ipv6 === undefined ? [ipv4.subnet] : [ipv4.subnet, ipv6.subnet];
}

/** Among equal priorities. A log rule has no part in the decision. */
const ACTION_RANKS: Readonly<Record<Rule["action"], number>> = { deny: 0, allow: 1, log: 2 };

/** Order of precedence: the rule that comes first decides. Of the log rules, likewise, the first that matches logs. */
export function compareRules(left: ParsedRule, right: ParsedRule): number {
  if (left.priority !== right.priority) return right.priority - left.priority;
  if (left.action !== right.action) return ACTION_RANKS[left.action] - ACTION_RANKS[right.action];
  return left.record.key < right.record.key ? -1 : 1;
}
