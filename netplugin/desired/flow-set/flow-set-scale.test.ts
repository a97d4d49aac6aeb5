import { expect, it } from "vitest";
import { machineOf, worldMessages, worldView } from "../../../test/fakes/world.ts";
import { applyMessage } from "../../view/apply.ts";
import { NO_CHANGES } from "../../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "./flow-set.ts";

/** One change among 10,000 endpoints costs what it touches. The bound is generous: it is there for "recomputes everything". */
const ENDPOINT_COUNT = 10_000;
const NODE_COUNT = 50;
const CHANGE_COUNT = 40;
const MEDIAN_MAX_MS = 10;

const HEAD = [
  "mode routing proxy",
  ...Array.from({ length: NODE_COUNT }, (_, index) => `node n${index + 1} 192.0.2.${index + 1}`),
  "network t1:red vxlan 100 10.1.0.0/16 gateway 10.1.255.254 ipv6 2001:db8::/64 gateway6 2001:db8::ffff",
];

function endpointLine(index: number, node: number): string {
  const [high, low] = [(index + 1) >> 8, (index + 1) & 255];
  return `endpoint e${index} t1:red n${node} 10.1.${high}.${low} 2001:db8::${(index + 1).toString(16)}`;
}

it("recomputes only what a change touches, with 10,000 endpoints", () => {
  const lines = Array.from({ length: ENDPOINT_COUNT }, (_, index) => endpointLine(index, (index % NODE_COUNT) + 1));
  const ports = Object.fromEntries(
    lines.flatMap((_, index) => (index % NODE_COUNT === 0 ? [[`e${index}`, 100 + index]] : [])),
  );
  const machine = machineOf("n1", ports);
  let view = worldView([...HEAD, ...lines].join("\n"));
  let { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
  const costs: number[] = [];
  for (let index = ENDPOINT_COUNT; index < ENDPOINT_COUNT + CHANGE_COUNT; index++) {
    const put = worldMessages([...HEAD, endpointLine(index, 7)].join("\n")).at(-1);
    if (put?.type !== "put") throw new Error("no put");
    const step = applyMessage(view, { ...put, modRevision: view.position + 1n });
    view = step.view;
    const startMs = performance.now();
    const next = updateFlowSet(set, { ...step, machine });
    costs.push(performance.now() - startMs);
    set = next.set;
    expect([next.delta.put.size, next.delta.remove.size]).toEqual([6, 0]);
  }
  const median = costs.sort((a, b) => a - b)[CHANGE_COUNT / 2];
  expect(median).toBeLessThan(MEDIAN_MAX_MS);
});
