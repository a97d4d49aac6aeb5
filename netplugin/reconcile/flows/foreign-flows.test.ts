import { pino } from "pino";
import { afterEach, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import type { FlowFilter } from "../../../drivers/ovs/openflow/flow-mod.ts";
import { cookieOf } from "../../desired/pipeline/pipeline.ts";
import { startForeignFlows } from "./foreign-flows.ts";

const closing = new AbortController();
afterEach(() => closing.abort());

function flow(cookie: bigint, priority: number): Flow {
  return { table: 0, priority, cookie, match: {}, actions: [{ kind: "output", port: "normal" }] };
}

it("finds every flow whose cookie is not ours, once, and tells when they are gone", async () => {
  const ours = [1, 2, 0xffff].map((generation) => flow(cookieOf({ generation, ownerId: 0xffffffff }), generation));
  const foreign = [0n, 0xc018n << 48n, 0xc016n << 48n, 0x4017n << 48n, 0xffffn << 48n].map((cookie, index) =>
    flow(cookie, 65_530 + index),
  );
  let present = [...ours, ...foreign];
  const connection = {
    dumpFlows: async ({ cookie = 0n, cookieMask = 0n }: FlowFilter = {}) =>
      present.filter((each) => (each.cookie & cookieMask) === (cookie & cookieMask)),
  };
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const watch = startForeignFlows({ connection: () => connection, log, signal: closing.signal });
  await expect.poll(() => watch.count()).toBe(foreign.length);
  expect(watch.fault()).toMatch(/^5 flows in contiv-int are not contiv's .*priority=6553\d.*delete them/);
  present = ours;
  watch.compare();
  await expect.poll(() => watch.fault()).toBeUndefined();
  expect(lines).toHaveLength(2);
});
