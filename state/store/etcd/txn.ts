import type { ICompare, IKeyValue, IRequestOp, ITxnRequest, ITxnResponse } from "etcd3";
import { guardHolds } from "../commit-check.ts";
import type { Commit, Guard } from "../store.ts";
import { storedValue } from "./range.ts";
import type { RequestSlot } from "./request-slots.ts";

/** Value of a slot whose commit was called off. Request ids are never empty. */
const CALLED_OFF = "";

/**
 * The transaction for a commit. It happens at most once however often it is sent, since it compares and rewrites its slot. Where the
 * comparison fails, it answers with the slot and the guarded keys; `callOff` then also spoils the slot, so that an earlier
 * attempt which is still under way cannot happen after the caller was told of a conflict.
 */
export function buildTxn(commit: Commit, slot: RequestSlot, callOff: boolean): ITxnRequest {
  const slotKey = Buffer.from(slot.key);
  const unwritten = compareModRevision(slotKey, slot.modRevision);
  const puts = commit.puts.map(({ key, value, lease }) => putOp(key, value, lease));
  const deletes = commit.deletes.map((key) => ({ request_delete_range: { key: Buffer.from(key) } }));
  const spoil = { compare: [unwritten], success: [putOp(slot.key, CALLED_OFF, slot.lease)], failure: [] };
  return {
    compare: [unwritten, ...commit.guards.map(guardCompare)],
    success: [...puts, ...deletes, putOp(slot.key, commit.requestId, slot.lease)],
    failure: [
      { request_range: { key: slotKey } },
      ...commit.guards.map(({ key, is }) => ({ request_range: { key: Buffer.from(key), keys_only: is !== "value" } })),
      ...(callOff ? [{ request_txn: spoil }] : []),
    ],
  };
}

function putOp(key: string, value: string, lease: string | undefined): IRequestOp {
  const put = { key: Buffer.from(key), value: Buffer.from(value) };
  return { request_put: lease === undefined ? put : { ...put, lease } };
}

function compareModRevision(key: Buffer, modRevision: string): ICompare {
  return { key, target: "Mod", result: "Equal", mod_revision: modRevision };
}

function guardCompare(guard: Guard): ICompare {
  const key = Buffer.from(guard.key);
  switch (guard.is) {
    case "absent":
      return { key, target: "Version", result: "Equal", version: 0 };
    case "present":
      return { key, target: "Version", result: "Greater", version: 0 };
    case "at":
      return compareModRevision(key, guard.modRevision.toString());
    case "value":
      return { key, target: "Value", result: "Equal", value: Buffer.from(guard.value) };
    case "created-at":
      return { key, target: "Create", result: "Equal", create_revision: guard.createRevision.toString() };
    default:
      return guard satisfies never;
  }
}

/** What the answer to such a transaction says. `lost-slot`: somebody or the lease removed our slot; the answer proves nothing. */
export type TxnOutcome =
  | { readonly kind: "committed"; readonly revision: string }
  | { readonly kind: "conflict"; readonly failed: readonly Guard[] }
  | { readonly kind: "lost-slot" };

export function readTxn(commit: Commit, slot: RequestSlot, answer: ITxnResponse): TxnOutcome {
  if (answer.succeeded) return { kind: "committed", revision: answer.header.revision };
  const [slotKv, ...guardKvs] = answer.responses
    .slice(0, commit.guards.length + 1)
    .map((response): IKeyValue | undefined => response.response_range.kvs[0]);
  if (slotKv?.value.toString("utf8") === commit.requestId) return { kind: "committed", revision: slotKv.mod_revision };
  if ((slotKv?.mod_revision ?? "0") !== slot.modRevision) return { kind: "lost-slot" };
  const failed = commit.guards.filter((guard, index) => {
    const kv = guardKvs[index];
    return !guardHolds(guard, kv === undefined ? undefined : storedValue(kv));
  });
  return { kind: "conflict", failed };
}
