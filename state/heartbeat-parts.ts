import type { z } from "zod";
import { NodeCondition } from "./kinds/node.ts";
import { CONDITIONS_MAX, Heartbeat } from "./node-api.ts";

/** What a heartbeat may lack and still be one. */
const PARTS = ["registrationMembers", "settledEpoch", "readiness", "receipt", "bandwidth", "ceilings", "hits"] as const;

/** Longest text of one condition, in characters. */
const MESSAGE_MAX_CHARACTERS = 2_000;

/**
 * A heartbeat without its faulty parts: each is replaced by a condition `report/<part>` that says what is wrong with it. The result of a
 * value without usable boot id is undefined, for nobody can tell which start of the node it speaks of.
 */
export function soundHeartbeat(value: unknown): Heartbeat | undefined {
  const whole = Heartbeat.safeParse(value);
  if (whole.success) return whole.data;
  const body = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const bootId = Heartbeat.shape.bootId.safeParse(body.bootId);
  if (!bootId.success) return undefined;
  const sound: Record<string, unknown> = {};
  const faults: NodeCondition[] = [];
  for (const part of PARTS) {
    const parsed = Heartbeat.shape[part].safeParse(body[part]);
    if (!parsed.success) faults.push(faultyPart(part, issueOf(parsed.error)));
    else if (parsed.data !== undefined) sound[part] = parsed.data;
  }
  return { bootId: bootId.data, conditions: soundConditions(body.conditions, faults), ...sound };
}

/** The condition that stands for a part of a node's report that cannot be told. */
export function faultyPart(part: string, reason: string): NodeCondition {
  const message = `The node's report has no valid part "${part}": ${reason}. The other parts are valid. This is a defect of netplugin; restart it, and report its log`;
  return { type: `report/${part}`, status: "degraded", message: message.slice(0, MESSAGE_MAX_CHARACTERS) };
}

/** The conditions that are valid, and no more than a heartbeat holds; the faults come first. */
function soundConditions(value: unknown, faults: readonly NodeCondition[]): NodeCondition[] {
  const all = [...faults];
  if (!Array.isArray(value)) all.push(faultyPart("conditions", "it is not a list"));
  else {
    const parsed = value.map((each) => NodeCondition.safeParse(each));
    const bad = parsed.find(({ success }) => !success);
    if (bad?.error !== undefined) all.push(faultyPart("conditions", issueOf(bad.error)));
    for (const { data } of parsed) if (data !== undefined) all.push(data);
  }
  return atMost(all);
}

/** As many conditions as a heartbeat holds, those that are not ok first; the last one counts the others. */
export function atMost(conditions: readonly NodeCondition[]): NodeCondition[] {
  if (conditions.length <= CONDITIONS_MAX) return [...conditions];
  const isWrong = ({ status }: NodeCondition) => status !== "ok";
  const sorted = [...conditions.filter(isWrong), ...conditions.filter((each) => !isWrong(each))];
  const message = `${conditions.length - CONDITIONS_MAX + 1} more conditions; GET /inspect/driver of netplugin on the node shows all of them`;
  return [...sorted.slice(0, CONDITIONS_MAX - 1), { type: "report/conditions", status: "degraded", message }];
}

function issueOf(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue?.path.map(String).join(".") ?? "";
  return `${path === "" ? "" : `${path}: `}${issue?.message ?? "invalid"}`;
}
