import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { projectRoot } from "../../deploy/cluster/components.ts";

/** A name server that takes all questions and answers none, with netplugin beside it. */
const PROGRAM = `
  const { createSocket } = require("node:dgram");
  const { spawn } = require("node:child_process");
  const socket = createSocket("udp4");
  let asked = 0;
  socket.on("message", (question) => { if (++asked === 3) console.log("asked"); });
  socket.bind(53, "127.0.0.77", () => {
    const netplugin = spawn(process.execPath, process.argv.slice(1), { stdio: "ignore" });
    process.on("SIGTERM", () => {
      const atMs = Date.now();
      netplugin.kill("SIGTERM");
      netplugin.on("exit", (code) => { console.log("ended", code, Date.now() - atMs); process.exit(); });
    });
  });
`;
/** Name servers are asked twice, for a second each; without a bound of ours the C library takes 10 s. */
const END_MAX_MS = 4_500;

it("ends within seconds while the name servers are silent", async () => {
  const directory = await mkdtemp(join(tmpdir(), "contiv-names-"));
  const resolvConf = join(directory, "resolv.conf");
  await writeFile(resolvConf, "nameserver 127.0.0.77\n");
  const netplugin = [
    ...[join(projectRoot(), "dist/netplugin/main.js"), "--netmaster-urls", "http://master-9.example:9001"],
    ...["--node-name", "n9", "--ovs-run-dir", directory, "--cni-socket", join(directory, "cni.sock")],
  ];
  const script = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';
  const argv = ["--net", "--mount", "sh", "-c", script, "sh", resolvConf, process.execPath, "-e", PROGRAM];
  const child = spawn("unshare", [...argv, ...netplugin], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe("asked");
    child.kill("SIGTERM");
    const [word, code, durationMs] = String((await lines.next()).value).split(" ");
    expect([word, code]).toEqual(["ended", "0"]);
    expect(Number(durationMs)).toBeLessThan(END_MAX_MS);
  } finally {
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    await rm(directory, { recursive: true });
  }
}, 30_000);
