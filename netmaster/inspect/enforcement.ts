import type { NodeRecord } from "../../state/kinds/node.ts";
import type { PolicyChange } from "../node-reports/policy-revisions.ts";
import type { NodeReports } from "../node-reports/reports.ts";
import type { ClusterView } from "../view/types.ts";
import { omitEmpty, type Rendered, StreamedValue } from "./streamed.ts";

/** An object whose enforcement is asked for. */
export interface Subject {
  /** The last change of what it is made of. */
  readonly desired: PolicyChange;
  /** Nodes that must enforce it; a node may come more than once. */
  readonly nodes: Iterable<string>;
  /** Does a failure of that object (`kind/key`) concern it, on that node? */
  concerns(object: string): boolean;
}

/** How a node stands to an object. `unknown`: it has sent no receipt yet to the netmaster that leads. */
type NodeState = "enforced" | "behind" | "failed" | "unreachable" | "unknown";

const NODES_PER_STEP = 50;

/** Receipts of the nodes that an object concerns; undefined when no registered node has to enforce it. */
export function enforcementOf(view: ClusterView, reports: NodeReports, subject: Subject): Rendered {
  for (const name of subject.nodes) {
    if (view.records("node").has(name)) return new StreamedValue(() => collect(view, reports, subject));
  }
  return undefined;
}

function* collect(view: ClusterView, reports: NodeReports, subject: Subject): Generator<void, Rendered> {
  const names = new Set<string>();
  const counts: Record<NodeState, number> = { enforced: 0, behind: 0, failed: 0, unreachable: 0, unknown: 0 };
  const nodes: Rendered[] = [];
  let lookedAt = 0;
  for (const name of subject.nodes) {
    if (lookedAt++ % NODES_PER_STEP === 0) yield;
    const node = names.has(name) ? undefined : view.records("node").get(name);
    if (node === undefined) continue;
    names.add(name);
    const shown = nodeEnforcement(node, reports, subject);
    counts[shown.state] += 1;
    nodes.push(omitEmpty({ ...shown }));
  }
  return { desiredRevision: `${subject.desired.revision}`, ...counts, nodes };
}

interface NodeEnforcement {
  readonly node: string;
  readonly state: NodeState;
  readonly enforcedRevision?: string;
  readonly enforcedAt?: string;
  /** How many store revisions it is behind the object, and for how long by now. */
  readonly lagRevisions?: number;
  readonly lagMs?: number;
  readonly failures?: Readonly<Record<string, string>>;
}

function nodeEnforcement(record: NodeRecord, reports: NodeReports, subject: Subject): NodeEnforcement {
  const { key: node, state } = record;
  const receipt = reports.receipt(node);
  if (receipt === undefined) return { node, state: state === "unreachable" ? "unreachable" : "unknown" };
  const { enforcedRevision, enforcedAt } = receipt;
  const { revision, atMs } = subject.desired;
  const lag = revision - BigInt(enforcedRevision);
  const failures = Object.entries(receipt.failures).filter(([object]) => subject.concerns(object));
  return {
    ...{ node, state: stateOf(state, { hasFailed: failures.length > 0, isBehind: lag > 0n }) },
    ...{ enforcedRevision, enforcedAt },
    ...(lag > 0n ? { lagRevisions: Number(lag) } : {}),
    ...(lag > 0n && atMs !== undefined ? { lagMs: Date.now() - atMs } : {}),
    failures: Object.fromEntries(failures),
  };
}

function stateOf(
  state: NodeRecord["state"],
  { hasFailed, isBehind }: { readonly hasFailed: boolean; readonly isBehind: boolean },
): NodeState {
  if (state === "unreachable") return "unreachable";
  if (hasFailed) return "failed";
  return isBehind ? "behind" : "enforced";
}
