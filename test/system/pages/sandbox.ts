import type { Shell } from "./runner.ts";
import type { Machine } from "./shell.ts";

/** A sandbox with two nodes on a machine of its own; every page begins with nothing in it. */
export interface Sandbox extends Shell {
  /** Removes what the page before has made, and hands out a shell in which only `preparation` has run. */
  begin(preparation: string): Promise<void>;
  /** A node's shell; it keeps nothing from one command to the next. */
  of(node: string): Shell;
}

const UP_MS = 90_000;
const QUICK_MS = 30_000;

/** Pods first, then objects, those that are named by others last. A tenant's rules go with their policy. */
const CLEAR = `
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
const pods = "/var/lib/contiv-sandbox/pods";
const names = existsSync(pods) ? readdirSync(pods).map((file) => file.replace(".json", "")) : [];
for (const name of names) execFileSync("deploy/sandbox", ["pod", "rm", name]);
const api = "http://127.0.0.1:9999/api/v1/";
for (const each of (await (await fetch(api + "endpoints/")).json()))
  await fetch("http://127.0.0.1:9999/debug/epcleanup/tenant/default/ep/" + encodeURIComponent(each.endpointID), { method: "DELETE" });
for (const kind of ["appProfiles", "endpointGroups", "policys", "netprofiles", "networks", "tenants"])
  for (const { key } of await (await fetch(api + kind + "/")).json()) {
    if (key === "default") continue;
    const { status } = await fetch(api + kind + "/" + key + "/", { method: "DELETE" });
    if (status >= 300) throw new Error("cannot delete " + kind + "/" + key + ": " + status);
  }
`;

/** What netplugin has logged and counted of the page before goes with its process. */
const END = `
import { stopDaemon } from "./dist/deploy/cluster/daemon.js";
const home = { directory: "/var/lib/contiv-sandbox", tied: false };
await Promise.all(["netplugin-n1", "netplugin-n2"].map((name) => stopDaemon(home, name, "SIGKILL")));
`;

export async function startSandbox(machine: Machine): Promise<Sandbox> {
  const must = async (command: string, timeoutMs: number) => {
    const { status, output } = await machine.run(command, timeoutMs);
    if (status !== 0) throw new Error(`${command}: ${output}`);
  };
  await must("deploy/sandbox up --no-demo", UP_MS);
  let isUsed = false;
  return {
    begin: async (preparation) => {
      await machine.refresh();
      if (isUsed) {
        await must(`node --input-type=module -e '${CLEAR}'`, QUICK_MS);
        await must(`node --input-type=module -e '${END}' && deploy/sandbox up --no-demo`, UP_MS);
      }
      isUsed = true;
      await must(preparation, QUICK_MS);
    },
    run: (command, timeoutMs) => machine.run(command, timeoutMs),
    of: (node) => ({
      run: (command, timeoutMs) =>
        machine.run(`deploy/sandbox node exec ${node} -- bash -c ${quoted(command)}`, timeoutMs),
    }),
  };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
