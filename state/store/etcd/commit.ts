import { NetError, storeFull } from "../../errors.ts";
import { backOffMs } from "../../waiting/back-off.ts";
import { pause } from "../../waiting/pause.ts";
import { abortError } from "../../waiting/signals.ts";
import { checkCommit } from "../commit-check.ts";
import type { Commit, CommitResult } from "../store.ts";
import { attempt, type EtcdLink, read } from "./calls.ts";
import type { Endpoint } from "./endpoints.ts";
import { failureOf, givenUp, refusal } from "./failures.ts";
import type { RequestSlot, RequestSlots } from "./request-slots.ts";
import { buildTxn, readTxn } from "./txn.ts";

/** A commit under way. */
interface Attempts {
  readonly commit: Commit;
  readonly doing: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  slot: RequestSlot;
  /** An attempt was sent and not answered: it may have happened, or happen yet. */
  doubtful: boolean;
  hasRenewedLease: boolean;
  failures: number;
}

/**
 * Sends the commit until its outcome is certain or the time is up. Sending again is harmless and at the same time the
 * question what became of the attempt before: see `buildTxn`.
 */
export async function commitOnce(
  link: EtcdLink,
  slots: RequestSlots,
  commit: Commit,
  signal?: AbortSignal,
): Promise<CommitResult> {
  checkCommit(commit);
  const deadlineMs = performance.now() + link.timings.operationTimeoutMs;
  const doing = `commit ${commit.requestId}`;
  const slot = await slots.take();
  const state = { commit, doing, deadlineMs, signal, slot, doubtful: false, hasRenewedLease: false, failures: 0 };
  for (;;) {
    const endpoint = link.endpoints.preferred;
    if (signal?.aborted)
      throw state.doubtful ? unknownOutcome(state, endpoint, signal.reason) : abortError(signal, doing);
    const result = await tryOnce(link, slots, state, endpoint);
    if (result !== undefined) return result;
  }
}

/** Undefined: once more. */
async function tryOnce(
  link: EtcdLink,
  slots: RequestSlots,
  state: Attempts,
  endpoint: Endpoint,
): Promise<CommitResult | undefined> {
  const { commit, doing, slot, signal } = state;
  const request = buildTxn(commit, slot, state.doubtful);
  const timeoutMs = Math.max(1, Math.min(link.timings.callTimeoutMs, state.deadlineMs - performance.now()));
  let outcome: ReturnType<typeof readTxn>;
  try {
    const answer = await attempt(link, endpoint, { doing, timeoutMs, signal }, (client, options) =>
      client.kv.txn(request, options),
    );
    outcome = readTxn(commit, slot, answer);
  } catch (error) {
    return await afterFailure(link, slots, state, endpoint, error);
  }
  switch (outcome.kind) {
    case "committed":
      slots.release(slot, outcome.revision);
      return { committed: true, revision: BigInt(outcome.revision) };
    case "conflict":
      if (!state.doubtful) slots.release(slot); // otherwise it was spoilt, at a revision we do not know
      return { committed: false, failed: outcome.failed };
    case "lost-slot":
      if (state.doubtful) throw unknownOutcome(state, endpoint, new Error("its request record is gone"));
      slots.forgetLease(slot.lease);
      await countFailure(link, state, endpoint, new Error("its request record is gone"));
      state.slot = await slots.take();
      return undefined;
    default:
      return outcome satisfies never;
  }
}

async function afterFailure(
  link: EtcdLink,
  slots: RequestSlots,
  state: Attempts,
  endpoint: Endpoint,
  error: unknown,
): Promise<CommitResult | undefined> {
  const failure = failureOf(error);
  switch (failure.kind) {
    case "refused":
      if (state.doubtful) throw unknownOutcome(state, endpoint, error);
      slots.release(state.slot);
      throw refusal(state.doing, failure.code, error);
    case "store-full":
      return await afterNoSpace(link, slots, state, endpoint, error);
    case "lease-gone":
      return await afterLostLease(link, slots, state, endpoint, error);
    case "not-sent":
      break;
    case "compacted":
    case "stale-auth":
    case "unknown":
      state.doubtful = true;
      break;
    default:
      failure satisfies never;
  }
  if (link.endpoints.isClosed) {
    if (state.doubtful) throw unknownOutcome(state, endpoint, error);
    throw new NetError("CLOSED", `Cannot ${state.doing}: the store was closed`, { cause: error });
  }
  link.endpoints.avoid(endpoint);
  await countFailure(link, state, endpoint, error);
  return undefined;
}

/** etcd says so also of the one write that filled it, which it has done: the slot tells. */
async function afterNoSpace(
  link: EtcdLink,
  slots: RequestSlots,
  { commit, doing, slot, doubtful, signal }: Attempts,
  endpoint: Endpoint,
  error: unknown,
): Promise<CommitResult> {
  const request = { key: Buffer.from(slot.key) };
  const answer = await read(link, { doing, signal }, (client, options) => client.kv.range(request, options)).catch(
    (cause: unknown) => {
      throw givenUp(doing, endpoint.url, cause, "TIMEOUT");
    },
  );
  const written = answer.kvs[0];
  if (written?.value.toString("utf8") === commit.requestId) {
    slots.release(slot, written.mod_revision);
    return { committed: true, revision: BigInt(written.mod_revision) };
  }
  if (doubtful) throw givenUp(doing, endpoint.url, error, "TIMEOUT");
  slots.release(slot);
  throw storeFull(doing, error);
}

/** Either our own lease is gone, and a new one helps, or one that the caller named. */
async function afterLostLease(
  link: EtcdLink,
  slots: RequestSlots,
  state: Attempts,
  endpoint: Endpoint,
  error: unknown,
): Promise<undefined> {
  if (state.doubtful) throw unknownOutcome(state, endpoint, error);
  if (state.hasRenewedLease) {
    slots.release(state.slot);
    throw new NetError("PRECONDITION", `Cannot ${state.doing}: a lease it names is gone`, {
      cause: error,
      reason: "lease-gone",
    });
  }
  slots.forgetLease(state.slot.lease);
  await countFailure(link, state, endpoint, error);
  state.slot = await slots.take();
  state.hasRenewedLease = true;
  return undefined;
}

async function countFailure(link: EtcdLink, state: Attempts, endpoint: Endpoint, error: unknown): Promise<void> {
  state.failures += 1;
  const delayMs = backOffMs(link.timings.retryBackoff, state.failures);
  if (performance.now() + delayMs >= state.deadlineMs) {
    throw givenUp(state.doing, endpoint.url, error, state.doubtful ? "TIMEOUT" : "UNAVAILABLE");
  }
  await pause(delayMs, state.signal);
}

function unknownOutcome(state: Attempts, endpoint: Endpoint, cause: unknown): NetError {
  return givenUp(state.doing, endpoint.url, cause, "TIMEOUT");
}
