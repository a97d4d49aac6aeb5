import { LogMark, Register } from "../../netplugin/desired/pipeline/pipeline.ts";
import { readSampleNote } from "../../netplugin/desired/pipeline/sample-note.ts";
import { logNumberOf } from "../../netplugin/desired/policy/log.ts";
import { mismatchOf } from "../../state/policy/matching.ts";
import { type Side, sidesOf, verdict } from "../../state/policy/verdict.ts";
import type { Sample } from "./flow-simulator.ts";
import type { Trip, TripWorld } from "./policy-journey.ts";

/** One side of a sample: whether its rules were asked on the node that tells, and which of these log rules is named. */
export interface SampledSide {
  readonly isAsked: boolean;
  /** Of equal rules any may be named; empty = none. */
  readonly loggedBy: readonly string[];
}

/** What one node tells of one packet. */
export interface ToldOf {
  readonly node: string;
  readonly verdict: "allowed" | "denied" | undefined;
  readonly out: SampledSide;
  readonly in: SampledSide;
}

const NOT_HERE: SampledSide = { isAsked: false, loggedBy: [] };

/** What the nodes should tell of the first packet of a connection to a known endpoint. */
export function expectedSamples(
  { world }: TripWorld,
  { packet, source, destination }: Trip,
  homes: Readonly<Record<string, string>>,
): ToldOf[] {
  const judged = verdict(world, packet);
  const sides = sidesOf(world, packet);
  const [from, to] = [source, destination].map((end) => (end === undefined ? undefined : homes[end.key]));
  const told: ToldOf[] = [];
  const out = source === undefined ? NOT_HERE : sampledSide(sides.source, "out");
  const incoming = sampledSide(sides.destination, "in");
  if (!judged.source.allowed) {
    if (from !== undefined) told.push({ node: from, verdict: "denied", out, in: NOT_HERE });
  } else if (from !== undefined && from !== to) {
    told.push({ node: from, verdict: "allowed", out, in: NOT_HERE });
  }
  if (judged.source.allowed && to !== undefined) {
    const here = { out: from === to ? out : NOT_HERE, in: incoming };
    told.push({ node: to, verdict: judged.destination.allowed ? "allowed" : "denied", ...here });
  }
  return told.filter((each) => each.out.loggedBy.length > 0 || each.in.loggedBy.length > 0);
}

/** The log rules of the highest priority that match. */
function sampledSide({ rules, packet }: Side, direction: "in" | "out"): SampledSide {
  if (rules === undefined || rules.fault !== undefined || rules.rules.policyCount === 0) return NOT_HERE;
  const matching = rules.rules.all.filter(
    (rule) => rule.direction === direction && rule.action === "log" && mismatchOf(rule, packet) === undefined,
  );
  const highest = Math.max(...matching.map(({ priority }) => priority));
  const first = matching.filter(({ priority }) => priority === highest).map(({ record }) => record.key);
  return { isAsked: true, loggedBy: first.sort() };
}

/** What the switch of a node has told; of the rules named in `expected` those that it means. */
export function readSample(node: string, { note, fields }: Sample, ruleKeys: readonly string[]): ToldOf {
  const sideOf = (register: string): SampledSide => {
    const bits = Number(fields.get(register) ?? 0n);
    const isLogged = (bits & LogMark.logged) !== 0;
    const loggedBy = isLogged ? ruleKeys.filter((key) => logNumberOf(key) === (bits & LogMark.rule)) : [];
    return { isAsked: (bits & LogMark.asked) !== 0, loggedBy };
  };
  return { node, verdict: readSampleNote(note), out: sideOf(Register.outLog), in: sideOf(Register.inLog) };
}

/** Is what was told one of the things that should be told? */
export function agrees(expected: ToldOf | undefined, actual: ToldOf | undefined): boolean {
  if (expected === undefined || actual === undefined) return expected === actual;
  const isSame = expected.node === actual.node && expected.verdict === actual.verdict;
  return isSame && agreesSide(expected.out, actual.out) && agreesSide(expected.in, actual.in);
}

function agreesSide(expected: SampledSide, actual: SampledSide): boolean {
  if (expected.isAsked !== actual.isAsked) return false;
  if (expected.loggedBy.length === 0) return actual.loggedBy.length === 0;
  return actual.loggedBy.some((key) => expected.loggedBy.includes(key));
}
