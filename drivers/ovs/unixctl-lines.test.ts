import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { streamConnections, type TrackedConnection } from "./conntrack.ts";
import { createAnswerReader } from "./unixctl-lines.ts";

function pushAll(pieces: readonly string[]) {
  const reader = createAnswerReader();
  return { lines: pieces.flatMap((piece) => reader.push(piece)), isDone: reader.isDone };
}

describe("an answer read piece by piece", () => {
  it("has the lines of its text, however it is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1 }).filter((line) => !/[\n\\]/.test(line))),
        fc.array(fc.nat({ max: 200 }), { maxLength: 20 }),
        fc.boolean(),
        (lines, cuts, isResultFirst) => {
          const result = lines.map((line) => `${line}\n`).join("");
          const text = JSON.stringify(isResultFirst ? { result, error: null, id: 1 } : { error: null, id: 1, result });
          const places = [0, ...cuts.map((cut) => cut % text.length).sort((a, b) => a - b), text.length];
          const pieces = places.slice(1).map((place, index) => text.slice(places[index], place));
          expect(pushAll(pieces)).toEqual({ lines, isDone: true });
        },
      ),
    );
  });

  it("may be a refusal", () => {
    expect(() => pushAll(['{"id":1,"result":null,"err', 'or":"no such\\nthing \\"x', '\\""}'])).toThrow(
      'no such thing "x"',
    );
  });

  it("must be one", () => {
    expect(() => pushAll(["x".repeat(2_000)])).toThrow("no answer that can be read");
    expect(() => pushAll(['{"result":"', "x".repeat(100_000)])).toThrow("too long");
  });
});

const LINE =
  "udp,orig=(src=10.1.1.9,dst=10.1.1.1,sport=4,dport=53),reply=(src=10.1.1.1,dst=10.1.1.9,sport=53,dport=4),zone=11";
const COUNT = 20_000;

/** Answers every request with `text`, then waits. */
async function daemon(text: string) {
  const directory = mkdtempSync(join(tmpdir(), "unixctl-"));
  const path = join(directory, "ovs-vswitchd.ctl");
  const asked: string[] = [];
  const server = createServer((socket) => {
    socket.on("data", (data) => {
      asked.push(data.toString());
      socket.write(text);
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    ...{ path, asked },
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function all(stream: AsyncIterable<readonly TrackedConnection[]>): Promise<TrackedConnection[]> {
  const connections: TrackedConnection[] = [];
  for await (const some of stream) connections.push(...some);
  return connections;
}

describe("a stream of connections", () => {
  it("lets others run while it reads tens of thousands", async () => {
    await using given = await daemon(JSON.stringify({ id: 1, result: `${LINE}\n`.repeat(COUNT), error: null }));
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    const found = await all(streamConnections({ socketPath: given.path, datapathType: "netdev", zone: 11 }));
    clearInterval(timer);
    expect(found.length).toBe(COUNT);
    expect(found.at(-1)).toMatchObject({ zone: 11, ipProto: 17, orig: { dstPort: 53 } });
    expect(turns).toBeGreaterThan(5);
    expect(JSON.parse(given.asked[0] ?? "")).toMatchObject({
      ...{ method: "dpctl/dump-conntrack", params: ["netdev@ovs-netdev", "zone=11"] },
    });
  });

  it("ends with its deadline, and when nobody listens", async () => {
    await using given = await daemon(`{"id":1,"result":"${LINE}\\n`);
    const query = { socketPath: given.path, datapathType: "system" } as const;
    await expect(all(streamConnections(query, { timeoutMs: 50 }))).rejects.toMatchObject({ code: "TIMEOUT" });
    const nobody = { ...query, socketPath: `${given.path}.gone` };
    await expect(all(streamConnections(nobody))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
