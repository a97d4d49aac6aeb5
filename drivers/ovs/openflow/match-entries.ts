import { NetError } from "../../../state/errors.ts";
import { type FieldSpec, fieldByName } from "./fields.ts";
import type { Match } from "./match.ts";

/** One field of a match; `implied`: its value where the match does not give one. */
export interface PlannedField {
  readonly spec: FieldSpec;
  readonly implied: number | string | undefined;
}

/** How matches that name the same fields are written: in canonical order. Found once for each set of fields. */
export interface MatchPlan {
  readonly given: readonly PlannedField[];
  /** With the fields that others presuppose. */
  readonly complete: readonly PlannedField[];
}

interface PlanNode {
  readonly next: Map<string, PlanNode>;
  plan: MatchPlan | undefined;
}

/** This program writes a few dozen sorts of matches; what a stranger has put into the switch must not fill the memory. */
const MAX_PLANS = 4_096;
const root: PlanNode = { next: new Map(), plan: undefined };
let planCount = 0;

export function planOf(match: Match): MatchPlan {
  let node: PlanNode | undefined = root;
  for (const name in match) {
    if (match[name as keyof Match] === undefined || name === "unknown") continue;
    node = node?.next.get(name) ?? addNode(node, name);
  }
  if (node?.plan !== undefined) return node.plan;
  const plan = makePlan(match);
  if (node !== undefined) node.plan = plan;
  return plan;
}

function addNode(parent: PlanNode | undefined, name: string): PlanNode | undefined {
  if (parent === undefined || planCount >= MAX_PLANS || fieldByName(name) === undefined) return undefined;
  const node: PlanNode = { next: new Map(), plan: undefined };
  parent.next.set(name, node);
  planCount += 1;
  return node;
}

function makePlan(match: Match): MatchPlan {
  const given: PlannedField[] = [];
  for (const name in match) {
    if (match[name as keyof Match] === undefined || name === "unknown") continue;
    const spec = fieldByName(name);
    if (spec === undefined || spec.isForActions) {
      throw new NetError("INVALID", `Cannot match field "${name}": there is no such field`, { field: name });
    }
    given.push({ spec, implied: undefined });
  }
  given.sort(byOrder);
  return { given, complete: completed(given) };
}

function byOrder(a: PlannedField, b: PlannedField): number {
  return a.spec.order - b.spec.order;
}

function completed(given: readonly PlannedField[]): readonly PlannedField[] {
  const complete = [...given];
  for (const { spec } of given) {
    for (const { name, value } of spec.implies) {
      const implied = fieldByName(name);
      if (implied !== undefined && !complete.some((field) => field.spec.name === name)) {
        complete.push({ spec: implied, implied: value });
      }
    }
  }
  return complete.length === given.length ? given : complete.sort(byOrder);
}

/** A planned field's value in a match. */
export function plannedValue(match: Match, { spec, implied }: PlannedField): unknown {
  return match[spec.name as keyof Match] ?? implied;
}

/** Refuses a match whose given fields contradict each other, or leave open what cannot be guessed. */
export function checkMatch(match: Match, { given, complete }: MatchPlan): void {
  for (const { spec } of given) {
    for (const { name, value, isLoose } of spec.implies) {
      if (isLoose) continue;
      const actual = valueIn(match, complete, name);
      if (actual !== value) throw contradiction(spec, `${name} is ${actual}: it needs ${value}`);
    }
    if (spec.isOverIp) {
      const ethType = valueIn(match, complete, "ethType");
      if (ethType !== 0x0800 && ethType !== 0x86dd) throw contradiction(spec, "ethType is neither 0x0800 nor 0x86dd");
    }
    if (spec.isOfNd) {
      const type = valueIn(match, complete, "icmpv6Type");
      if (type !== 135 && type !== 136) throw contradiction(spec, "icmpv6Type is neither 135 nor 136");
    }
  }
}

function valueIn(match: Match, complete: readonly PlannedField[], name: keyof Match): unknown {
  const value: unknown = match[name];
  if (value !== undefined) return value;
  for (const field of complete) if (field.spec.name === name) return field.implied;
  return undefined;
}

function contradiction(spec: FieldSpec, details: string): NetError {
  return new NetError("INVALID", `Cannot match ${spec.name} where ${details}`, { field: spec.name });
}

/** The match with the fields that others presuppose, unchecked. */
export function completeMatch(match: Match): Match {
  const fields = planOf(match).complete;
  const complete = Object.fromEntries(fields.map((field) => [field.spec.name, plannedValue(match, field)]));
  return match.unknown === undefined ? complete : { ...complete, unknown: match.unknown };
}
