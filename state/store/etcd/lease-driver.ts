import type { Etcd3, ILeaseKeepAliveResponse } from "etcd3";
import { systemClock } from "../../waiting/clock.ts";
import { within } from "../../waiting/limit.ts";
import type { LeaseDriver } from "../lease-driver.ts";
import type { LeaseId } from "../store.ts";
import { type EtcdLink, read, refuseDiverged, refuseForeign } from "./calls.ts";
import { failureOf } from "./failures.ts";

const REVOKE_TIMEOUT_MS = 1_500;

/** Leases at the RPC level: one short keepalive stream per beat, so that nothing half-open outlives it. */
export function etcdLeaseDriver(link: EtcdLink): LeaseDriver {
  return {
    // A grant whose answer was lost leaves an empty lease that expires by itself: it may be repeated.
    async grant(ttlS, signal) {
      const answer = await read(link, { doing: "grant a lease", signal }, (client, options) =>
        client.leaseClient.leaseGrant({ TTL: ttlS }, options),
      );
      return { id: answer.ID as LeaseId, ttlMs: Number(answer.TTL) * 1_000 };
    },

    async keepAlive(id, { patienceMs, timeoutMs, signal }) {
      const endpoint = link.endpoints.preferred;
      const { client } = endpoint;
      const cancel = systemClock.after(patienceMs, () => link.endpoints.avoid(endpoint));
      try {
        const answer = await keepAliveOnce(client, id, timeoutMs, signal);
        refuseForeign(link, endpoint, answer);
        refuseDiverged(endpoint);
        return Number(answer.TTL) * 1_000;
      } catch (cause) {
        link.endpoints.avoid(endpoint);
        if (failureOf(cause).kind === "stale-auth") endpoint.renewClient(client);
        if (!signal.aborted) link.report({ kind: "call-failed", call: "keep a lease", endpoint: endpoint.url, cause });
        throw cause;
      } finally {
        cancel();
      }
    },

    async revoke(id) {
      const reading = {
        doing: `revoke lease ${id}`,
        attemptTimeoutMs: REVOKE_TIMEOUT_MS / 2,
        totalTimeoutMs: REVOKE_TIMEOUT_MS,
      };
      try {
        await read(link, reading, (client, options) => client.leaseClient.leaseRevoke({ ID: id }, options));
      } catch (error) {
        if (failureOf(error).kind !== "lease-gone") throw error;
      }
    },
  };
}

type KeepAliveStream = Awaited<ReturnType<Etcd3["leaseClient"]["leaseKeepAlive"]>>;

async function keepAliveOnce(
  client: Etcd3,
  id: LeaseId,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ILeaseKeepAliveResponse> {
  const opening = client.leaseClient.leaseKeepAlive();
  const answer = opening.then((stream) => askOnce(stream, id));
  try {
    const kept = await within(answer, { timeoutMs, signal, doing: `keep lease ${id}` });
    (await opening).end();
    return kept;
  } catch (error) {
    opening.then(
      (stream) => stream.cancel(),
      () => undefined,
    );
    throw error;
  }
}

function askOnce(stream: KeepAliveStream, id: LeaseId): Promise<ILeaseKeepAliveResponse> {
  return new Promise((resolve, reject) => {
    stream.on("data", (answer) => resolve(answer));
    stream.on("error", reject);
    stream.on("end", () => reject(new Error("the keepalive stream ended without an answer")));
    stream.write({ ID: id });
  });
}
