import { expect, it } from "vitest";
import type { NodeRecord } from "../../state/kinds/node.ts";
import { logLines } from "../testing/log-lines.ts";
import { worldView } from "../view/testing.ts";
import { logNode } from "./node-log.ts";

const AT = (second: number) => `2026-01-01T00:00:0${second}.000Z`;
const SILENCE = { type: "heartbeat", status: "failed", message: "nothing was heard" } as const;

it("a node that is lost and comes back is one line each, with how long it was away", () => {
  const node = worldView("node n1").records("node").get("n1");
  if (node === undefined) throw new Error("no node");
  const { log, lines } = logLines();
  const history: NodeRecord[] = [
    { ...node, stateSince: AT(0) },
    { ...node, stateSince: AT(0), conditions: [{ type: "switch", status: "ok", message: "3.1" }] },
    { ...node, state: "unreachable", stateSince: AT(2), conditions: [SILENCE] },
    { ...node, stateSince: AT(5), readiness: { state: "ready", reasons: [], since: AT(1) } },
    { ...node, stateSince: AT(5), readiness: { state: "not-ready", reasons: ["no switch"], since: AT(6) } },
  ];
  for (const [index, record] of history.entries()) {
    const previous = history[index - 1];
    logNode(log, { kind: "node", key: "n1", modRevision: 1n, record, previous });
  }
  expect(lines()).toMatchObject([
    { level: 40, node: "n1", msg: "Node n1 is unreachable", reasons: [SILENCE.message], previousState: "ready" },
    { level: 30, msg: "Node n1 is ready", previousState: "unreachable", previousMs: 3_000 },
    { level: 40, msg: "Node n1 is not-ready", reasons: ["no switch"] },
  ]);
});
