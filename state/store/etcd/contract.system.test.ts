import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { startEtcd } from "../../../test/fakes/etcd-server.ts";
import { testStoreContract } from "../contract.ts";
import { openEtcdStore } from "./store.ts";

const run = promisify(execFile);

testStoreContract("etcd", async () => {
  const server = await startEtcd();
  const { endpoints } = server;
  const etcdctl = async (...argv: string[]) => {
    const env = { ...process.env, ETCDCTL_API: "3" };
    return (await run("etcdctl", [`--endpoints=${endpoints.join(",")}`, ...argv], { env })).stdout;
  };
  return {
    open: () => openEtcdStore({ endpoints }),
    async compact() {
      const [status] = JSON.parse(await etcdctl("endpoint", "status", "-w", "json"));
      await etcdctl("compact", String(status.Status.header.revision));
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});
