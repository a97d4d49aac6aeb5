import { startEtcd } from "../../../test/fakes/etcd-server.ts";
import { compactEtcd } from "../../../test/fakes/etcdctl.ts";
import { testStoreContract } from "../contract.ts";
import { openEtcdStore } from "./store.ts";

testStoreContract("etcd", async () => {
  const server = await startEtcd();
  return {
    open: () => openEtcdStore({ endpoints: server.endpoints }),
    compact: () => compactEtcd(server),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});
