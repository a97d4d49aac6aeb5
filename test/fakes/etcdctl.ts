import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { EtcdServer } from "./etcd-server.ts";

const run = promisify(execFile);

/** Runs etcdctl against the server and returns what it prints. */
export async function etcdctl(server: EtcdServer, ...argv: readonly string[]): Promise<string> {
  const { certificates } = server;
  const tls =
    certificates === undefined
      ? []
      : [
          `--cacert=${certificates.caFile}`,
          `--cert=${certificates.client.certFile}`,
          `--key=${certificates.client.keyFile}`,
        ];
  const env = { ...process.env, ETCDCTL_API: "3" };
  const { stdout } = await run("etcdctl", [`--endpoints=${server.endpoints.join(",")}`, ...tls, ...argv], { env });
  return stdout;
}

/** Forgets the history of everything written so far. */
export async function compactEtcd(server: EtcdServer): Promise<void> {
  const [status] = JSON.parse(await etcdctl(server, "endpoint", "status", "-w", "json"));
  await etcdctl(server, "compact", String(status.Status.header.revision));
}
