import { NetError, storeFull } from "../../errors.ts";
import { backOffMs } from "../../waiting/back-off.ts";
import { within } from "../../waiting/limit.ts";
import { pause } from "../../waiting/pause.ts";
import { throwIfAborted } from "../../waiting/signals.ts";
import type { Reporter } from "../store.ts";
import type { CallOptions, Endpoint, Endpoints, EtcdClient } from "./endpoints.ts";
import { failureOf, givenUp, refusal } from "./failures.ts";
import type { EtcdTimings } from "./options.ts";

/** What every call to etcd needs. */
export interface EtcdLink {
  readonly endpoints: Endpoints;
  readonly timings: EtcdTimings;
  readonly report: Reporter;
}

export interface AttemptOptions {
  readonly doing: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Added to the deadline that gRPC keeps, for the calls which it leaves hanging. */
const GRACE_MS = 250;

/** One call to one member, which ends by the deadline even where the client's own does not work. */
export async function attempt<T>(
  link: EtcdLink,
  endpoint: Endpoint,
  options: AttemptOptions,
  call: (client: EtcdClient, options: CallOptions) => Promise<T>,
): Promise<T> {
  try {
    const answer = await ask(link, endpoint, options, call);
    refuseDiverged(endpoint);
    return answer;
  } catch (cause) {
    if (!options.signal?.aborted)
      link.report({ kind: "call-failed", call: options.doing, endpoint: endpoint.url, cause });
    throw cause;
  }
}

/** The same for questions about the member itself: a member that is not trusted may answer, and failures are not reported. */
export async function ask<T>(
  link: EtcdLink,
  endpoint: Endpoint,
  options: AttemptOptions,
  call: (client: EtcdClient, options: CallOptions) => Promise<T>,
): Promise<T> {
  const { client } = endpoint;
  try {
    const work = call(client, { deadline: Date.now() + options.timeoutMs });
    const answer = await within(work, { ...options, timeoutMs: options.timeoutMs + GRACE_MS });
    refuseForeign(link, endpoint, answer);
    return answer;
  } catch (cause) {
    if (failureOf(cause).kind === "stale-auth" && !options.signal?.aborted) endpoint.renewClient(client);
    throw cause;
  }
}

/** What a member with other data says is not about our store either, also where it was asked before that was known. */
export function refuseDiverged({ url, divergence }: Endpoint): void {
  if (divergence === undefined) return;
  const text = `etcd ${url} ${divergence}; stop that member, remove it from the cluster, and add it anew, empty`;
  throw new NetError("UNAVAILABLE", text, { reason: "diverged-member" });
}

/** A member that was restored or set up alone belongs to another cluster: what it says is not about our store. */
export function refuseForeign({ endpoints }: EtcdLink, endpoint: Endpoint, answer: unknown): void {
  const { header } = answer as { readonly header?: { readonly cluster_id?: string } };
  if (header?.cluster_id === undefined || endpoints.isOurs(endpoint, header.cluster_id)) return;
  const text =
    endpoints.clusterId === undefined
      ? `etcd ${endpoint.url} belongs to cluster ${header.cluster_id}, which most of the ${endpoints.all.length} endpoints do not confirm; start their members, or take those that are gone for good out of --etcd-endpoints`
      : `etcd ${endpoint.url} belongs to another cluster (${header.cluster_id}) than the other members; remove it from --etcd-endpoints, or add it to the cluster anew`;
  throw new NetError("UNAVAILABLE", text, { reason: "foreign-member" });
}

export interface ReadOptions {
  readonly doing: string;
  readonly signal?: AbortSignal | undefined;
  readonly attemptTimeoutMs?: number;
  readonly totalTimeoutMs?: number;
}

/** Repeats a read on the members in turn until one answers or the time is up. */
export async function read<T>(
  link: EtcdLink,
  options: ReadOptions,
  call: (client: EtcdClient, options: CallOptions) => Promise<T>,
): Promise<T> {
  const { doing, signal } = options;
  const attemptTimeoutMs = options.attemptTimeoutMs ?? link.timings.callTimeoutMs;
  const deadlineMs = performance.now() + (options.totalTimeoutMs ?? link.timings.operationTimeoutMs);
  for (let failures = 0; ; failures += 1) {
    throwIfAborted(signal, doing);
    const endpoint = link.endpoints.preferred;
    const timeoutMs = Math.max(1, Math.min(attemptTimeoutMs, deadlineMs - performance.now()));
    try {
      return await attempt(link, endpoint, { doing, timeoutMs, signal }, call);
    } catch (error) {
      throwIfAborted(signal, doing);
      if (link.endpoints.isClosed)
        throw new NetError("CLOSED", `Cannot ${doing}: the store was closed`, { cause: error });
      const failure = failureOf(error);
      if (failure.kind === "refused") throw refusal(doing, failure.code, error);
      if (failure.kind === "store-full") throw storeFull(doing, error);
      if (failure.kind === "compacted" || failure.kind === "lease-gone") throw error;
      link.endpoints.avoid(endpoint);
      const delayMs = backOffMs(link.timings.retryBackoff, failures + 1);
      if (performance.now() + delayMs >= deadlineMs) throw givenUp(doing, endpoint.url, error, "UNAVAILABLE");
      await pause(delayMs, signal);
    }
  }
}
