import { performance } from "node:perf_hooks";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { limitOf } from "../../../state/waiting/limit.ts";
import { connectSwitch } from "./connection.ts";
import type { Flow } from "./flow.ts";
import { packFlow } from "./packed-flow.ts";
import { type ScratchSwitch, startSwitch } from "./testing/scratch-switch.ts";

let scratch: ScratchSwitch;

beforeAll(async () => {
  scratch = await startSwitch(["br0"]);
});

afterAll(async () => {
  await scratch?.[Symbol.asyncDispose]();
});

/** What netplugin installs for one remote endpoint, about. */
function flowOf(index: number): Flow {
  return {
    table: 10 + (index % 5),
    priority: 100,
    cookie: 0xc0ffee0000000000n + BigInt(index),
    match: {
      reg0: 7,
      ethType: 0x0800,
      ipv4Dst: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
      ctState: "+trk-inv",
    },
    actions: [
      { kind: "setField", field: "reg3", value: index },
      { kind: "setField", field: "ethDst", value: "02:02:0a:00:00:01" },
      { kind: "decTtl" },
    ],
    goto: 60,
  };
}

/** Longest time between two turns of the event loop, in ms. */
function watchLoop(): { stop: () => number } {
  let longestMs = 0;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs - 1);
    lastMs = nowMs;
  }, 1);
  return {
    stop: () => {
      clearInterval(timer);
      return longestMs;
    },
  };
}

describe("a bundle whose sender dies", () => {
  it("has never been, however much of it the switch has taken", async () => {
    await using witness = await connectSwitch(scratch.socketOf("br0"));
    const before = (await witness.dumpPackedFlows()).length;
    const dying = await connectSwitch(scratch.socketOf("br0"));
    const bundle = dying.openBundle();
    for (let index = 0; index < 5_000; index++) {
      bundle.add({ kind: "flow-put", ...packFlow(flowOf(index)) });
      if (bundle.isFull) await bundle.room(limitOf("fill a bundle", {}, 5_000));
    }
    await dying.barrier(); // the switch has read what was sent
    await dying.close();
    await witness.barrier();
    expect((await witness.dumpPackedFlows()).length).toBe(before);
    await witness.bundle([{ kind: "flow-put", ...packFlow(flowOf(1)) }]);
    expect((await witness.dumpPackedFlows()).length).toBe(before + 1);
    await witness.bundle([{ kind: "flow-delete", filter: {} }]);
  });
});

describe("20,000 flows", () => {
  it("go in as one bundle and come back equal, without holding the event loop", async () => {
    await using connection = await connectSwitch(scratch.socketOf("br0"));
    const flows = Array.from({ length: 20_000 }, (_, index) => packFlow(flowOf(index)));
    await connection.bundle(flows.slice(0, 1000).map((flow) => ({ kind: "flow-put", ...flow })));
    const loop = watchLoop();
    const startMs = performance.now();
    await connection.bundle(flows.map((flow) => ({ kind: "flow-put", ...flow })));
    const bundledMs = performance.now();
    const dumped = await connection.dumpPackedFlows();
    const dumpedMs = performance.now();
    const longestMs = loop.stop();
    const there = new Map(dumped.map(({ key, deed }) => [key, deed]));
    const same = flows.filter(({ key, deed }) => there.get(key) === deed);
    const comparedMs = performance.now();
    const figures = {
      bundleMs: Math.round(bundledMs - startMs),
      dumpMs: Math.round(dumpedMs - bundledMs),
      compareMs: Math.round(comparedMs - dumpedMs),
      longestTurnMs: Math.round(longestMs),
    };
    console.log("20,000 flows:", JSON.stringify(figures));
    expect(dumped.length).toBe(20_000);
    expect(same.length).toBe(20_000);
    expect(figures.bundleMs).toBeLessThan(2000);
    expect(figures.longestTurnMs).toBeLessThan(100);
    await connection.bundle([{ kind: "flow-delete", filter: {} }]);
  });
});

describe("the end of the switch", () => {
  it("ends the connection and every wait, and a new connection works once it is back", async () => {
    const connection = await connectSwitch(scratch.socketOf("br0"));
    scratch.signalVswitchd("SIGSTOP");
    const waits = [
      connection.barrier(),
      connection.dumpFlows(),
      connection.bundle([{ kind: "flow-add", flow: flowOf(1) }]),
    ];
    const results = Promise.allSettled(waits);
    await scratch.killVswitchd();
    expect(await connection.closed).toMatchObject({ code: "UNAVAILABLE" });
    for (const result of await results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE" } });
    }
    await expect(connection.barrier()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const absent = connectSwitch(scratch.socketOf("br0"));
    await expect(absent).rejects.toThrow(/^Cannot connect to the switch at .*br0\.mgmt: .*ENOENT/);
    await expect(absent).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await scratch.startVswitchd();
    await using again = await connectSwitch(scratch.socketOf("br0"));
    await again.bundle([{ kind: "flow-add", flow: flowOf(2) }]);
    expect((await again.dumpFlows()).length).toBe(1);
  });

  it("is noticed when it only falls silent", async () => {
    const connection = await connectSwitch(scratch.socketOf("br0"), { echoIntervalMs: 100 });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await connection.echo();
    scratch.signalVswitchd("SIGSTOP");
    try {
      await expect(connection.barrier({ timeoutMs: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
      expect(await connection.closed).toMatchObject({
        code: "TIMEOUT",
        message: expect.stringContaining("silent for"),
      });
      const late = connectSwitch(scratch.socketOf("br0"), { timeoutMs: 100 });
      await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    } finally {
      scratch.signalVswitchd("SIGCONT");
    }
  });
});

describe("versions", () => {
  it("that the bridge does not allow are refused with the remedy", async () => {
    await scratch.vsctl("set", "Bridge", "br0", "protocols=OpenFlow10,OpenFlow13");
    const work = connectSwitch(scratch.socketOf("br0"));
    await expect(work).rejects.toMatchObject({ code: "UNSUPPORTED" });
    await expect(work).rejects.toThrow(/add OpenFlow15 to the bridge's "protocols"/);
    await scratch.vsctl("set", "Bridge", "br0", "protocols=OpenFlow10,OpenFlow15");
    await using connection = await connectSwitch(scratch.socketOf("br0"));
    await connection.barrier();
    await scratch.vsctl("clear", "Bridge", "br0", "protocols");
  });
});
