import { emptyIdPool, type IdPool } from "../../state/allocators/id-pool.ts";
import type { ClaimPool } from "../../state/keys.ts";
import type { Kind, RecordOf } from "../../state/records.ts";
import type { Thawed } from "./thawed.ts";
import type { ObjectChange } from "./types.ts";

export type IdBooks = Readonly<Record<ClaimPool, IdPool>>;

const MAX_U32 = 0xffffffff;

export const EMPTY_ID_BOOKS: IdBooks = Object.freeze({
  "tenant-id": emptyIdPool({ first: 1, last: MAX_U32 }),
  "network-id": emptyIdPool({ first: 1, last: MAX_U32 }),
  "group-id": emptyIdPool({ first: 1, last: MAX_U32 }),
  vlan: emptyIdPool({ first: 1, last: 4094 }),
  vni: emptyIdPool({ first: 1, last: 16_777_215 }),
});

type Held = readonly (readonly [ClaimPool, number])[];

/** The ids that a record holds. */
export function heldIds(kind: Kind, record: RecordOf<Kind>): Held {
  switch (kind) {
    case "tenant":
      return [["tenant-id", (record as RecordOf<"tenant">).tenantId]];
    case "endpointGroup":
      return [["group-id", (record as RecordOf<"endpointGroup">).groupId]];
    case "network": {
      const { networkId, tag, config } = record as RecordOf<"network">;
      return [
        ["network-id", networkId],
        [config.encap === "vlan" ? "vlan" : "vni", tag],
      ];
    }
    default:
      return [];
  }
}

/** Follows changes that happen at once: what goes is released before what comes is taken. */
export function applyToIds(books: Thawed<ClaimPool, IdPool>, changes: readonly ObjectChange[]): void {
  for (const { kind, previous } of changes) {
    if (previous === undefined) continue;
    for (const [pool, id] of heldIds(kind, previous)) books.write(pool).release(id);
  }
  for (const { kind, record } of changes) {
    if (record === undefined) continue;
    for (const [pool, id] of heldIds(kind, record)) books.write(pool).take(id);
  }
}
