import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import type { CniHandler } from "./handler.ts";
import { NO_DNS } from "./result.ts";
import { startCniServer } from "./server.ts";
import { frameOf, received } from "./testing/frames.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cni-log-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** What is logged of one call. */
async function logged(frame: Buffer, handler: Partial<CniHandler>): Promise<unknown[]> {
  const lines: unknown[] = [];
  const write = (level: string) => (fields: object, msg: string) => void lines.push({ level, msg, ...fields });
  const socketPath = join(directory, "cni.sock");
  const ending = new AbortController();
  const server = await startCniServer({
    ...{ socketPath, handler: handler as CniHandler, signal: ending.signal },
    log: { info: write("info"), warn: write("warn") },
    observe: () => {},
    checkNetns: async () => {},
  });
  const socket = connect(socketPath);
  socket.end(frame);
  await received(socket);
  await server.close();
  return lines;
}

const POD = { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1" };
const RESULT = {
  interfaces: [{ name: "eth0", mac: undefined, mtuBytes: 1450, sandbox: "/run/netns/pod" }],
  ips: [{ address: "10.1.1.2/24", gateway: undefined, interfaceIndex: 0 }],
  ...{ routes: [], dns: NO_DNS },
};

it("an ADD is logged with pod, container, network and addresses, and a whole number of milliseconds", async () => {
  const [line, ...others] = await logged(frameOf("ADD", POD), { add: async () => RESULT });
  expect(others).toEqual([]);
  expect(line).toMatchObject({ level: "info", msg: "CNI call done", command: "ADD", pod: "shop/web-1" });
  expect(line).toMatchObject({ containerId: "c1", network: "default:default-net", addresses: ["10.1.1.2/24"] });
  expect(Number.isInteger((line as { durationMs: number }).durationMs)).toBe(true);
});

it("a DEL with what it has detached, a failed call with error and next step", async () => {
  const network = "t1:front";
  const done = await logged(frameOf("DEL", POD), { del: async (_request, _signal, note) => note?.({ network }) });
  expect(done).toMatchObject([{ command: "DEL", pod: "shop/web-1", network }]);
  const add = async () => {
    throw new NetError("EXHAUSTED", "no address is left");
  };
  const failed = await logged(frameOf("ADD", POD), { add });
  expect(failed).toMatchObject([
    { level: "warn", error: "no address is left", details: expect.stringMatching(/widen/) },
  ]);
});
