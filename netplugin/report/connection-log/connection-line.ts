import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { groupRulesInSteps } from "../../../state/policy/group-rules.ts";
import { protocolName } from "../../../state/policy/protocol.ts";
import { endsOf, type SideVerdict, verdict } from "../../../state/policy/verdict.ts";
import type { PolicyPacket, PolicyWorld } from "../../../state/policy/world.ts";
import type { SampledVerdict } from "../../desired/pipeline/sample-note.ts";
import { logNumberOf } from "../../desired/policy/log.ts";
import type { NodeView } from "../../view/node-view.ts";
import { policyWorldOf } from "../../view/policy-world.ts";
import { logRules, networkOf, recordOf } from "../../view/query.ts";
import type { PacketHeaders } from "./packet-headers.ts";
import type { ConnectionSample, End } from "./sample.ts";

/** One end of a connection, with the names that this node knows. */
export interface LineEnd {
  readonly address: string;
  readonly port?: number;
  readonly endpoint?: string;
  /** `namespace/name` in Kubernetes. */
  readonly pod?: string;
  /** `tenant:group`. */
  readonly group?: string;
  readonly node?: string;
}

/** A connection that a log rule matches, as it is written. */
export interface ConnectionLine {
  readonly verdict: SampledVerdict;
  /** Whose rules denied it. */
  readonly deniedAt?: End;
  /** Ends whose rules were asked on this node; the other end's node has a say of its own. */
  readonly asked: readonly End[];
  /** The log rule, and what it is for: `out` of the source, `in` of the destination. */
  readonly rule: string;
  readonly direction: "in" | "out";
  /** Rules that decided at the ends asked, as far as they are known; none = no rule matched, so it is allowed. */
  readonly decidedBy?: readonly string[];
  readonly tenant?: string;
  readonly network?: string;
  readonly protocol: string;
  readonly icmpType?: number;
  readonly source: LineEnd;
  readonly destination: LineEnd;
}

/** What the names of a sample are looked up in. */
export interface LineContext {
  readonly view: NodeView;
  /** Who is on an OpenFlow port of this node. */
  readonly endpointOnPort: (ofport: number) => string | undefined;
}

const DIRECTIONS = { source: "out", destination: "in" } as const;

/** Keys of the log rules that a sample names, with their ends; a rule that has gone meanwhile is called by its number. */
export function namedRules(
  view: NodeView,
  { rules }: ConnectionSample,
): { readonly rule: string; readonly end: End }[] {
  const keys = logRuleKeys(view);
  return rules.map(({ end, number }) => ({ end, rule: keys.get(number) ?? `gone-${number.toString(16)}` }));
}

/** Of a view's log rules; of two with the same number (one of 2^28) the last. */
const keysByView = new WeakMap<NodeView, ReadonlyMap<number, string>>();

function logRuleKeys(view: NodeView): ReadonlyMap<number, string> {
  const known = keysByView.get(view);
  if (known !== undefined) return known;
  const keys = new Map(Array.from(logRules(view), ({ key }) => [logNumberOf(key), key] as const));
  keysByView.set(view, keys);
  return keys;
}

/** Everything of the line but the rule. Yields now and then, for a group can have ten thousand rules. */
export function* describeSample(
  context: LineContext,
  sample: ConnectionSample,
): Generator<void, Omit<ConnectionLine, "rule" | "direction">> {
  const { headers, asked } = sample;
  const deniedAt = sample.verdict === "denied" ? asked.at(-1) : undefined;
  const network = networkOf(context.view, sample.networkId);
  const found = network === undefined ? undefined : yield* lookUp(context, sample, network);
  const decidedBy = found === undefined ? undefined : decidingRules(sample, deniedAt, found);
  return {
    verdict: sample.verdict,
    ...(deniedAt === undefined ? {} : { deniedAt }),
    asked,
    ...(decidedBy === undefined ? {} : { decidedBy }),
    ...(network === undefined ? {} : { tenant: network.config.tenantName, network: network.key }),
    protocol: protocolName(headers.protocol),
    ...(headers.icmpType === undefined ? {} : { icmpType: headers.icmpType }),
    source: lineEnd(headers.source, headers.sourcePort, found?.sender),
    destination: lineEnd(headers.destination, headers.port, found?.hearer),
  };
}

export function lineOf(
  described: Omit<ConnectionLine, "rule" | "direction">,
  { rule, end }: { readonly rule: string; readonly end: End },
): ConnectionLine {
  return { ...described, rule, direction: DIRECTIONS[end] };
}

interface Found {
  readonly sender: EndpointRecord | undefined;
  readonly hearer: EndpointRecord | undefined;
  readonly source: SideVerdict;
  readonly destination: SideVerdict;
}

function* lookUp(context: LineContext, sample: ConnectionSample, network: NetworkRecord): Generator<void, Found> {
  const world = policyWorldOf(context.view);
  const packet = packetOf(context, sample, network);
  const { sender, hearer } = endsOf(world, packet);
  yield* prepare(world, sample, { sender, hearer });
  const { source, destination } = verdict(world, packet);
  return { sender, hearer, source, destination };
}

function* prepare(
  world: PolicyWorld,
  { asked }: ConnectionSample,
  { sender, hearer }: Pick<Found, "sender" | "hearer">,
): Generator<void> {
  if (sender !== undefined && asked.includes("source")) yield* groupRulesInSteps(world, sender);
  if (hearer !== undefined && asked.includes("destination")) yield* groupRulesInSteps(world, hearer);
}

function packetOf(context: LineContext, { headers, copyFor }: ConnectionSample, network: NetworkRecord): PolicyPacket {
  const { sourcePort: _, ...packet } = headers;
  const key = copyFor === undefined ? undefined : context.endpointOnPort(copyFor);
  const hearer = key === undefined ? undefined : recordOf(context.view, "endpoint", key);
  const receiver = hearer === undefined ? undefined : addressIn(headers, hearer);
  return { ...packet, networkKey: network.key, ...(receiver === undefined ? {} : { receiver }) };
}

function addressIn({ family }: PacketHeaders, { ipv4, ipv6 }: EndpointRecord): string | undefined {
  return family === 4 ? ipv4 : ipv6;
}

/** Undefined when the rules have changed since: they say otherwise now than the switch did. */
function decidingRules(
  { verdict: said, asked }: ConnectionSample,
  deniedAt: End | undefined,
  found: Found,
): readonly string[] | undefined {
  const ends = deniedAt === undefined ? asked : [deniedAt];
  if (ends.some((end) => found[end].allowed !== (said === "allowed"))) return undefined;
  return ends.flatMap((end) => {
    const { ground } = found[end];
    return ground.kind === "rule" ? [ground.rule.key] : [];
  });
}

function lineEnd(address: string, port: number | undefined, endpoint: EndpointRecord | undefined): LineEnd {
  return { address, ...(port === undefined ? {} : { port }), ...(endpoint === undefined ? {} : namesOf(endpoint)) };
}

function namesOf({ key, podNamespace, podName, tenantName, groupName, nodeName }: EndpointRecord) {
  const pod = podNamespace === "" ? podName : `${podNamespace}/${podName}`;
  return {
    endpoint: key,
    ...(podName === "" ? {} : { pod }),
    ...(groupName === "" ? {} : { group: `${tenantName}:${groupName}` }),
    node: nodeName,
  };
}
