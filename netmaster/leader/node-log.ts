import type { LineLog } from "../../state/daemon-log.ts";
import { shownState } from "../../state/kinds/node.ts";
import type { ObjectChange } from "../view/types.ts";

const WRONG: ReadonlySet<string> = new Set(["unreachable", "not-ready"]);

/** One line when a node's state has become another one in the store, with how long it was in the one before; a start that goes well has none. */
export function logNode(log: LineLog, change: ObjectChange): void {
  if (change.kind !== "node" || change.record === undefined) return;
  const { state, reasons, since } = shownState(change.record);
  const before = change.previous && shownState(change.previous);
  if (before?.state === state || (before === undefined && state === "ready")) return;
  const told = {
    ...{ node: change.key, state, ...(reasons.length === 0 ? {} : { reasons }) },
    ...(before && {
      previousState: before.state,
      previousMs: Math.max(0, Date.parse(since) - Date.parse(before.since)),
    }),
  };
  if (WRONG.has(state)) log.warn(told, `Node ${change.key} is ${state}`);
  else log.info(told, `Node ${change.key} is ${state}`);
}
