import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { generateSource } from "oazapfts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRestApp } from "./app.ts";
import { type FakeCluster, fakeCluster } from "./testing/fake-cluster.ts";

const run = promisify(execFile);
const NODE_MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));

/** What a client writes: calls with everything in its type, and slips that the compiler must refuse. */
const PROGRAM = `
import { ok } from "@oazapfts/runtime";
import * as contiv from "./client.ts";

contiv.defaults.baseUrl = process.argv[2] ?? "";
contiv.defaults.headers = { accept: "application/json" };

await ok(contiv.putTenant("t1", { tenantName: "t1" }));
const network: contiv.Network = { tenantName: "t1", networkName: "n1", encap: "vlan", subnet: "10.1.1.0/24" };
const created = await ok(contiv.putNetwork("t1:n1", network, { ifNoneMatch: "*" }));
const key: string = created.key;
const tag: number | undefined = (await ok(contiv.inspectNetwork(key))).Oper?.pktTag;
await ok(contiv.patchTenant("t1", { egressCeiling: "1gbps", ingressCeiling: null }));
const again = await contiv.putNetwork("t1:n1", network, { ifNoneMatch: "*" });
const problem = again.status === 412 ? again.data : undefined;
await ok(contiv.postPolicy("t1:p1", { tenantName: "t1", policyName: "p1" }));
await ok(contiv.postEndpointGroup("t1:g1", { tenantName: "t1", groupName: "g1", networkName: "n1", policies: ["p1"] }));
await ok(
  contiv.postRule("t1:p1:r1", {
    ...{ tenantName: "t1", policyName: "p1", ruleId: "r1", direction: "in", action: "deny" },
    ...{ protocol: "tcp", port: 80 },
  }),
);
const explained = await ok(contiv.explain("10.1.1.9", "t1:g1", "tcp", { port: 80 }));
const keys: readonly string[] = (await ok(contiv.listNetworks({ limit: 10 }))).map((one) => one.key);
await ok(contiv.deleteRule("t1:p1:r1", { dryRun: true }));
console.log(JSON.stringify({ tag, code: problem?.code, keys, allowed: explained.allowed, decidedBy: explained.destination?.decidedBy }));

export async function slips(): Promise<void> {
  // @ts-expect-error a member that has no default is missing
  await contiv.putNetwork("t1:n1", { tenantName: "t1", networkName: "n1", encap: "vlan" });
  // @ts-expect-error a member is misspelled
  await contiv.putNetwork("t1:n1", { ...network, gatway: "10.1.1.254" } satisfies contiv.Network);
  // @ts-expect-error a choice that does not exist
  await contiv.putNetwork("t1:n1", { ...network, encap: "gre" });
  // @ts-expect-error a port is a number
  await contiv.explain("10.1.1.9", "t1:g1", "tcp", { port: "80" });
  // @ts-expect-error dryRun is a boolean
  await contiv.deleteRule("t1:p1:r1", { dryRun: "true" });
  // @ts-expect-error the reply has no such member
  created.networkname;
}
`;

const TSCONFIG = {
  compilerOptions: {
    ...{ target: "ES2023", lib: ["ES2023", "DOM", "DOM.Iterable"], module: "NodeNext", types: ["node"] },
    ...{ strict: true, noUncheckedIndexedAccess: true, skipLibCheck: true, preserveSymlinks: true },
    ...{ rewriteRelativeImportExtensions: true, outDir: "out" },
  },
  include: ["client.ts", "program.ts"],
};

let folder = "";
let cluster: FakeCluster;
let app: ReturnType<typeof createRestApp>;
let url = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "contiv-client-"));
  await symlink(NODE_MODULES, join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(TSCONFIG));
  cluster = fakeCluster();
  app = createRestApp(cluster);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  await writeFile(join(folder, "client.ts"), await generateSource(`${url}/api/v1/openapi.json`));
});

afterAll(async () => {
  await app.close();
  await rm(folder, { recursive: true });
});

/** What the compiler says; empty when it is content. */
async function compile(program: string): Promise<string> {
  await writeFile(join(folder, "program.ts"), program);
  const compiler = join(NODE_MODULES, "typescript/bin/tsc");
  return run(process.execPath, [compiler, "--project", folder]).then(
    () => "",
    (error: { readonly stdout: string }) => error.stdout,
  );
}

describe("a client generated from what the server says of itself", () => {
  it("compiles, and calls the server", async () => {
    expect(await compile(PROGRAM)).toBe("");
    const { stdout } = await run(process.execPath, [join(folder, "out/program.js"), url]);
    const decidedBy = "t1:p1:r1";
    expect(JSON.parse(stdout)).toEqual({
      ...{ tag: 1, code: "precondition-failed", keys: ["t1:n1"], allowed: false, decidedBy },
    });
    expect(cluster.view().records("tenant").get("t1")?.config.egressCeiling).toBe("1gbps");
    expect(cluster.view().records("rule").has(decidedBy)).toBe(true);
  });

  it("does not compile with a slip of the pen", async () => {
    const errors = await compile(PROGRAM.replaceAll(/^.*@ts-expect-error.*$/gm, ""));
    expect(errors.match(/error TS\d+/g)).toHaveLength(6);
  });
});
