import { describe, expect, it, vi } from "vitest";
import { limitOf } from "../../../state/waiting/limit.ts";
import { connectSwitch } from "./connection.ts";
import { OFPT } from "./message.ts";
import {
  type Behaviour,
  bundling,
  helloBytes,
  messageBytes,
  obliging,
  startFakeSwitch,
} from "./testing/fake-switch.ts";
import { flowEntry } from "./testing/flow-entry.ts";
import { hex } from "./testing/hex.ts";

const FLOW = { table: 1, priority: 2, cookie: 3n, match: {}, actions: [] };
const ADD = { kind: "flow-add", flow: FLOW } as const;

/** A page of a flow dump. */
function page(xid: number, count: number, hasMore: boolean): Buffer {
  const entries = Array.from({ length: count }, () => flowEntry(FLOW));
  return messageBytes(
    OFPT.multipartReply,
    xid,
    Buffer.concat([hex(`0001 000${hasMore ? 1 : 0} 00000000`), ...entries]),
  );
}

const dumping: Behaviour = (message, send, socket) => {
  if (message.type === OFPT.multipartRequest) {
    send(page(message.xid, 3, true));
    send(page(message.xid, 0, true));
    send(page(message.xid, 2, false));
  } else obliging(message, send, socket);
};

const silent: Behaviour = () => {};

/** Answers everything with the given error. */
function refusing(error: string): Behaviour {
  return ({ xid }, send) => send(messageBytes(OFPT.error, xid, hex(error)));
}

describe("connecting", () => {
  it.each([
    ["an older version", hex("0400 0008 00000001")],
    ["a bitmap without ours", hex("0600 0010 00000001 0001 0008 00000012")],
    ["a refusal", hex("0401 0014 00000001 0000 0000 6e6f206d61746368")],
  ])("is UNSUPPORTED after %s", async (_, hello) => {
    await using fake = await startFakeSwitch(obliging, hello);
    await expect(connectSwitch(fake.path)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  it.each([
    ["a newer version", hex("0700 0008 00000001")],
    [
      "unknown elements before the bitmap",
      hex("0600 0020 00000001 0009 0006 01020000 0001 0008 00000040 0005 0004 00000000"),
    ],
  ])("succeeds after %s", async (_, hello) => {
    await using fake = await startFakeSwitch(obliging, hello);
    await using connection = await connectSwitch(fake.path);
    await connection.barrier();
    expect(fake.received[0]).toMatchObject({ type: OFPT.hello, body: hex("0001 0008 00000040") });
  });

  it("ends with a switch that says nothing", async () => {
    await using fake = await startFakeSwitch(silent, Buffer.alloc(0));
    await expect(connectSwitch(fake.path, { timeoutMs: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  it("ends with a switch that hangs up", async () => {
    await using fake = await startFakeSwitch(silent, Buffer.alloc(0));
    const work = connectSwitch(fake.path);
    work.catch(() => {}); // looked at below
    await expect.poll(() => fake.sockets.length).toBe(1);
    fake.sockets[0]?.end();
    await expect(work).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("ends with its caller, before and during", async () => {
    await using fake = await startFakeSwitch(silent, Buffer.alloc(0));
    await expect(connectSwitch(fake.path, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CLOSED" });
    const signal = AbortSignal.timeout(20);
    await expect(connectSwitch(fake.path, { signal })).rejects.toMatchObject({ code: "TIMEOUT" });
  });
});

describe("answers", () => {
  it("may come in pages", async () => {
    await using fake = await startFakeSwitch(dumping);
    await using connection = await connectSwitch(fake.path);
    expect(await connection.dumpFlows()).toEqual([FLOW, FLOW, FLOW, FLOW, FLOW]);
  });

  it("may come byte by byte", async () => {
    const trickling: Behaviour = (message, send, socket) => {
      dumping(message, (bytes) => bytes.forEach((byte) => void send(Buffer.of(byte))), socket);
    };
    await using fake = await startFakeSwitch(trickling);
    await using connection = await connectSwitch(fake.path);
    expect((await connection.dumpFlows()).length).toBe(5);
  });

  it("that are long are decoded in turns with others", async () => {
    const long: Behaviour = ({ xid }, send) => {
      for (let index = 0; index < 40; index++) send(page(xid, 800, index < 39));
    };
    await using fake = await startFakeSwitch(long);
    await using connection = await connectSwitch(fake.path);
    let nowMs = performance.now();
    const clock = vi.spyOn(performance, "now").mockImplementation(() => ++nowMs); // how fast this machine is does not matter
    const turns = vi.spyOn(globalThis, "setImmediate");
    try {
      expect((await connection.dumpFlows()).length).toBe(32_000);
      expect(turns.mock.calls.length).toBeGreaterThan(100); // without slices one for each burst of bytes, fewer than 20
    } finally {
      clock.mockRestore();
      turns.mockRestore();
    }
  });

  it("that come late are dropped", async () => {
    const late: Behaviour = (message, send, socket) => {
      if (message.type === OFPT.barrierRequest) setTimeout(() => obliging(message, send, socket), 60);
      else dumping(message, send, socket);
    };
    await using fake = await startFakeSwitch(late);
    await using connection = await connectSwitch(fake.path);
    const work = connection.barrier({ timeoutMs: 20 });
    await expect(work).rejects.toMatchObject({ code: "TIMEOUT" });
    await expect(work).rejects.toThrow(/^Cannot pass a barrier at .*: no answer within 20 ms/);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect((await connection.dumpFlows()).length).toBe(5);
  });

  it.each([
    ["of another part", hex("0006 0000 00000000"), /the answer is of part 6/],
    ["that end too early", hex("0001 0000 00000000 0040"), /ends .* bytes too early/],
  ])("%s fail their own request only", async (_, body, message) => {
    const wrong: Behaviour = (each, send, socket) => {
      if (each.type === OFPT.multipartRequest) send(messageBytes(OFPT.multipartReply, each.xid, body));
      else obliging(each, send, socket);
    };
    await using fake = await startFakeSwitch(wrong);
    await using connection = await connectSwitch(fake.path);
    await expect(connection.dumpFlows()).rejects.toThrow(message);
    await connection.barrier();
  });

  it("of another kind fail the request", async () => {
    await using fake = await startFakeSwitch(({ xid }, send) => send(messageBytes(OFPT.featuresReply, xid)));
    await using connection = await connectSwitch(fake.path);
    await expect(connection.barrier()).rejects.toMatchObject({ code: "PROTOCOL" });
  });

  it("that refuse carry the switch's name for it", async () => {
    await using fake = await startFakeSwitch(refusing("0001 0005"));
    await using connection = await connectSwitch(fake.path);
    await expect(connection.dumpGroups()).rejects.toMatchObject({ code: "REJECTED", reason: "OFPBRC_EPERM" });
    await expect(connection.dumpGroups()).rejects.toThrow(
      /^Cannot list groups of .*: the switch answered OFPBRC_EPERM$/,
    );
  });
});

describe("a bundle", () => {
  it("is given up when the switch cannot open it", async () => {
    const behave: Behaviour = (message, send, socket) => {
      if (message.type === OFPT.bundleControl) refusing("0011 0005")(message, send, socket);
      else obliging(message, send, socket);
    };
    await using fake = await startFakeSwitch(behave);
    await using connection = await connectSwitch(fake.path);
    await expect(connection.bundle([ADD])).rejects.toMatchObject({ reason: "OFPBFC_OUT_OF_BUNDLES" });
  });

  it.each([
    ["cannot be read: all are told", { atAdd: [0, 2] }, [0, 2]],
    ["cannot be carried out: the first is told", { atCommit: [1, 2] }, [1]],
  ])("names its messages that %s", async (_, given, places) => {
    const full = hex("0005 0001");
    const errorsAt = (all: readonly number[] | undefined) => new Map(all?.map((place) => [place, full]));
    const { atAdd, atCommit }: { atAdd?: number[]; atCommit?: number[] } = given;
    await using fake = await startFakeSwitch(bundling({ atAdd: errorsAt(atAdd), atCommit: errorsAt(atCommit) }));
    await using connection = await connectSwitch(fake.path);
    using bundle = connection.openBundle();
    for (const mod of [ADD, ADD, ADD]) bundle.add(mod);
    const refusals = await bundle.commit(limitOf("fill a table", {}, 1_000));
    expect(refusals.map(({ index }) => index)).toEqual(places);
    expect(refusals[0]?.reason.name).toBe("OFPFMFC_TABLE_FULL");
    await expect(connection.bundle([ADD, ADD, ADD])).rejects.toMatchObject({ reason: "OFPFMFC_TABLE_FULL" });
  });

  it("that is taken names none", async () => {
    await using fake = await startFakeSwitch(bundling({}));
    await using connection = await connectSwitch(fake.path);
    using bundle = connection.openBundle();
    bundle.add(ADD);
    await bundle.room(limitOf("begin", {}, 1_000));
    bundle.add(ADD);
    expect(await bundle.commit(limitOf("end", {}, 1_000))).toEqual([]);
  });

  it("is discarded when its time is over", async () => {
    await using fake = await startFakeSwitch(silent);
    await using connection = await connectSwitch(fake.path);
    await expect(connection.bundle([ADD], { timeoutMs: 30 })).rejects.toMatchObject({ code: "TIMEOUT" });
    await expect.poll(() => fake.received.at(-1)).toMatchObject({ type: OFPT.bundleControl });
    expect(fake.received.at(-1)?.body.subarray(4)).toEqual(hex("0006 0003"));
  });

  it("is nothing when empty", async () => {
    await using fake = await startFakeSwitch(silent);
    await using connection = await connectSwitch(fake.path);
    await connection.bundle([]);
    expect(fake.received.length).toBeLessThanOrEqual(1);
  });

  it("waits for a switch that does not read, within bounds", async () => {
    await using fake = await startFakeSwitch(silent);
    await using connection = await connectSwitch(fake.path);
    await expect.poll(() => fake.sockets.length).toBe(1);
    fake.sockets[0]?.pause();
    const mods = Array.from({ length: 50_000 }, () => ADD);
    const before = process.memoryUsage().arrayBuffers;
    await expect(connection.bundle(mods, { timeoutMs: 200 })).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  });
});

describe("the connection", () => {
  it("answers echoes with their own bytes", async () => {
    await using fake = await startFakeSwitch();
    await using _connection = await connectSwitch(fake.path);
    fake.sockets[0]?.write(messageBytes(OFPT.echoRequest, 77, hex("c0ffee")));
    await expect.poll(() => fake.received.at(-1)).toEqual({ type: OFPT.echoReply, xid: 77, body: hex("c0ffee") });
  });

  it("ignores what it did not ask for", async () => {
    await using fake = await startFakeSwitch();
    await using connection = await connectSwitch(fake.path);
    fake.sockets[0]?.write(messageBytes(12, 0, Buffer.alloc(72)));
    fake.sockets[0]?.write(messageBytes(OFPT.error, 4242, hex("0001 0001")));
    await connection.barrier();
  });

  it.each([
    ["a message of another version", hex("0414 0008 00000001")],
    ["a message of no length", hex("0614 0000 00000001")],
    ["an error of two bytes", hex("0601 000a 00000001 0001")],
  ])("ends at %s", async (_, bytes) => {
    await using fake = await startFakeSwitch(silent);
    await using connection = await connectSwitch(fake.path);
    const work = connection.barrier();
    work.catch(() => {}); // looked at below
    fake.sockets[0]?.write(bytes);
    expect(await connection.closed).toMatchObject({ code: "PROTOCOL" });
    await expect(work).rejects.toMatchObject({ code: "PROTOCOL" });
    await expect(connection.barrier()).rejects.toMatchObject({ code: "PROTOCOL" });
  });

  it("asks a silent switch whether it lives, and ends when it does not", async () => {
    await using fake = await startFakeSwitch(silent);
    const connection = await connectSwitch(fake.path, { echoIntervalMs: 20 });
    expect(await connection.closed).toMatchObject({ code: "TIMEOUT" });
    expect(fake.received.some(({ type }) => type === OFPT.echoRequest)).toBe(true);
  });

  it("stays while the switch answers echoes", async () => {
    await using fake = await startFakeSwitch();
    await using connection = await connectSwitch(fake.path, { echoIntervalMs: 10 });
    await new Promise((resolve) => setTimeout(resolve, 150));
    await connection.barrier();
  });

  it("can be closed twice, and ends every wait", async () => {
    await using fake = await startFakeSwitch(silent);
    const connection = await connectSwitch(fake.path);
    const results = Promise.allSettled([connection.barrier(), connection.dumpFlows(), connection.bundle([ADD])]);
    await connection.close();
    await connection.close();
    expect(await connection.closed).toBeUndefined();
    for (const result of await results) expect(result).toMatchObject({ reason: { code: "CLOSED" } });
    await expect(connection.bundle([ADD])).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("ends a wait with its caller", async () => {
    await using fake = await startFakeSwitch(silent);
    await using connection = await connectSwitch(fake.path);
    const controller = new AbortController();
    const work = connection.barrier({ signal: controller.signal });
    controller.abort();
    await expect(work).rejects.toMatchObject({ code: "CLOSED", message: expect.stringContaining("gave up") });
    await expect(connection.barrier({ signal: controller.signal })).rejects.toMatchObject({ code: "CLOSED" });
    await expect(connection.bundle([ADD], { signal: controller.signal })).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("refuses more requests at once than anybody can mean", async () => {
    await using fake = await startFakeSwitch(silent);
    const connection = await connectSwitch(fake.path);
    const results = Promise.allSettled(Array.from({ length: 1030 }, () => connection.barrier()));
    await connection.close();
    const codes = (await results).map((result) => (result.status === "rejected" ? result.reason.code : "done"));
    expect(codes.filter((code) => code === "EXHAUSTED").length).toBe(6);
    expect(codes.filter((code) => code === "CLOSED").length).toBe(1024);
  });

  it("says that nobody listens there", async () => {
    const work = connectSwitch("/nonexistent/br0.mgmt");
    await expect(work).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(work).rejects.toThrow("Cannot connect to the switch at /nonexistent/br0.mgmt: connect ENOENT");
  });

  it("greets once", async () => {
    await using fake = await startFakeSwitch(obliging, Buffer.concat([helloBytes(), helloBytes()]));
    await using connection = await connectSwitch(fake.path);
    await connection.barrier();
  });
});
