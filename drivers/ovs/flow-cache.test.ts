import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { NetError } from "../../state/errors.ts";
import { createFlowCache, SOON_MS } from "./flow-cache.ts";

/** A daemon that answers every command of its control socket, as ovs-vswitchd does. */
let runDirectory: string;
let closing: AbortController;
let close: () => Promise<void>;
const PURGE = ["pause", "purge", "resume"];
const asked: string[] = [];
const reported: NetError[] = [];

beforeEach(async () => {
  runDirectory = mkdtempSync(join(tmpdir(), "flow-cache-"));
  closing = new AbortController();
  asked.length = 0;
  reported.length = 0;
  const server = createServer((socket) => {
    socket.on("data", (data) => {
      for (const text of data.toString().split(/(?<=})(?={)/)) {
        const { id, method } = JSON.parse(text) as { id: number; method: string };
        asked.push(method.replace("revalidator/", ""));
        socket.write(JSON.stringify({ id, result: "", error: null }));
      }
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(join(runDirectory, "ovs-vswitchd.7.ctl"), resolve));
  close = async () => {
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
});

afterEach(async () => {
  closing.abort();
  await close();
  rmSync(runDirectory, { recursive: true, force: true });
});

function open(datapathType: "system" | "netdev" = "netdev") {
  const report = (error: NetError) => void reported.push(error);
  return createFlowCache({ runDirectory, datapathType, signal: closing.signal, report });
}

it("is emptied by the switch itself", async () => {
  await open().forget(closing.signal);
  expect(asked).toEqual(PURGE);
});

it("is emptied once for all who ask within a while", async () => {
  const cache = open();
  for (let call = 0; call < 5; call += 1) cache.forgetSoon();
  expect(asked).toEqual([]);
  await vi.waitFor(() => expect(asked).toEqual(PURGE), { timeout: 20 * SOON_MS, interval: 20 });
  cache.forgetSoon();
  await vi.waitFor(() => expect(asked).toEqual([...PURGE, ...PURGE]), { timeout: 20 * SOON_MS, interval: 20 });
});

it("of the kernel needs none of this", async () => {
  const cache = open("system");
  await cache.forget(closing.signal);
  cache.forgetSoon();
  await new Promise((resolve) => setTimeout(resolve, SOON_MS + 200));
  expect([asked, reported]).toEqual([[], []]);
});

it("that cannot be emptied is reported", async () => {
  await close();
  await open().forget(closing.signal);
  expect(reported[0]?.message).toMatch(/Cannot find the control socket/);
});
