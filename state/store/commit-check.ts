import { NetError } from "../errors.ts";
import { type Commit, type Guard, MAX_COMMIT_OPERATIONS, type StoredValue } from "./store.ts";

/** Refuses what every backend must refuse, before anything is sent. */
export function checkCommit(commit: Commit): void {
  const writeCount = commit.puts.length + commit.deletes.length;
  if (commit.requestId === "") throw new NetError("INVALID", "Cannot commit: the request id is empty");
  if (writeCount === 0) throw new NetError("INVALID", `Cannot commit ${commit.requestId}: it changes nothing`);
  if (Math.max(writeCount, commit.guards.length) > MAX_COMMIT_OPERATIONS) {
    const counts = `${writeCount} operations and ${commit.guards.length} guards`;
    throw new NetError(
      "INVALID",
      `Cannot commit ${commit.requestId}: ${counts}, at most ${MAX_COMMIT_OPERATIONS} each`,
    );
  }
  const keys = new Set<string>();
  for (const key of [...commit.puts.map((put) => put.key), ...commit.deletes]) {
    if (key === "") throw new NetError("INVALID", `Cannot commit ${commit.requestId}: a key is empty`);
    if (keys.has(key))
      throw new NetError("INVALID", `Cannot commit ${commit.requestId}: key "${key}" is written twice`);
    keys.add(key);
  }
}

/** Whether the guard holds for the key's present state. */
export function guardHolds(guard: Guard, present: StoredValue | undefined): boolean {
  switch (guard.is) {
    case "absent":
      return present === undefined;
    case "present":
      return present !== undefined;
    case "at":
      return present?.modRevision === guard.modRevision;
    case "value":
      return present?.value === guard.value;
    case "created-at":
      return present?.createRevision === guard.createRevision;
    default:
      return guard satisfies never;
  }
}
