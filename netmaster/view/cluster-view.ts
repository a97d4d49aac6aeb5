import type { IdPool, IdPoolView } from "../../state/allocators/id-pool.ts";
import type { NetworkId } from "../../state/ids.ts";
import type { ClaimPool } from "../../state/keys.ts";
import { KINDS, type Kind, type RecordOf } from "../../state/records.ts";
import { compareText, type SortedMap, sortedMap } from "../../state/sorted-map.ts";
import { AddressBooks, type BookSources, type Lease, leaseOf } from "./address-books.ts";
import { applyToIds, EMPTY_ID_BOOKS, type IdBooks } from "./id-books.ts";
import { INDEX_NAMES, type IndexName, indexEntries } from "./indexes.ts";
import { KeyIndex } from "./key-index.ts";
import { Thawed } from "./thawed.ts";
import type { ClusterView, KeySet, NetworkAddresses, ObjectChange, OrderedRecords } from "./types.ts";

interface Stored {
  readonly record: RecordOf<Kind>;
  readonly modRevision: bigint;
}
type Table = SortedMap<string, Stored>;

interface Parts {
  readonly revision: bigint;
  readonly epoch: string;
  readonly tables: Readonly<Record<Kind, Table>>;
  readonly indexes: Readonly<Record<IndexName, KeyIndex>>;
  readonly books: AddressBooks;
  readonly ids: IdBooks;
}

/** A cluster view that shares with the one before it all that did not change. */
export class FrozenView implements ClusterView {
  readonly parts: Parts;

  constructor(parts: Parts) {
    this.parts = Object.freeze(parts);
  }

  get revision(): bigint {
    return this.parts.revision;
  }

  get epoch(): string {
    return this.parts.epoch;
  }

  records<K extends Kind>(kind: K): OrderedRecords<K> {
    return new TableRecords<K>(this.parts.tables[kind]);
  }

  modRevision(kind: Kind, key: string): bigint | undefined {
    return this.parts.tables[kind].get(key)?.modRevision;
  }

  endpointsOfNetwork(networkKey: string): KeySet {
    return this.parts.indexes.endpointsOfNetwork.get(networkKey);
  }

  endpointsOfGroup(groupKey: string): KeySet {
    return this.parts.indexes.endpointsOfGroup.get(groupKey);
  }

  endpointsOfNode(nodeName: string): KeySet {
    return this.parts.indexes.endpointsOfNode.get(nodeName);
  }

  nodesOfNetwork(networkKey: string): KeySet {
    return this.parts.indexes.nodesOfNetwork.get(networkKey);
  }

  nodesOfGroup(groupKey: string): KeySet {
    return this.parts.indexes.nodesOfGroup.get(groupKey);
  }

  networksOfNode(nodeName: string): KeySet {
    return this.parts.indexes.networksOfNode.get(nodeName);
  }

  groupsOfNode(nodeName: string): KeySet {
    return this.parts.indexes.groupsOfNode.get(nodeName);
  }

  addressesOfNetwork(networkKey: string): KeySet {
    return this.parts.indexes.addressesOfNetwork.get(networkKey);
  }

  networksOfTenant(tenantName: string): KeySet {
    return this.parts.indexes.networksOfTenant.get(tenantName);
  }

  infraNetworks(): KeySet {
    return this.parts.indexes.infraNetworks.get("");
  }

  groupsOfTenant(tenantName: string): KeySet {
    return this.parts.indexes.groupsOfTenant.get(tenantName);
  }

  policiesOfTenant(tenantName: string): KeySet {
    return this.parts.indexes.policiesOfTenant.get(tenantName);
  }

  netprofilesOfTenant(tenantName: string): KeySet {
    return this.parts.indexes.netprofilesOfTenant.get(tenantName);
  }

  appProfilesOfTenant(tenantName: string): KeySet {
    return this.parts.indexes.appProfilesOfTenant.get(tenantName);
  }

  rulesOfPolicy(policyKey: string): KeySet {
    return this.parts.indexes.rulesOfPolicy.get(policyKey);
  }

  groupsOfPolicy(policyKey: string): KeySet {
    return this.parts.indexes.groupsOfPolicy.get(policyKey);
  }

  groupsOfNetwork(networkKey: string): KeySet {
    return this.parts.indexes.groupsOfNetwork.get(networkKey);
  }

  groupsOfNetprofile(netprofileKey: string): KeySet {
    return this.parts.indexes.groupsOfNetprofile.get(netprofileKey);
  }

  appProfilesOfGroup(groupKey: string): KeySet {
    return this.parts.indexes.appProfilesOfGroup.get(groupKey);
  }

  rulesNaming(groupKey: string): KeySet {
    return this.parts.indexes.rulesNaming.get(groupKey);
  }

  addresses(networkId: NetworkId): NetworkAddresses | undefined {
    return this.parts.books.get(networkId);
  }

  ids(pool: ClaimPool): IdPoolView {
    return this.parts.ids[pool];
  }
}

class TableRecords<K extends Kind> implements OrderedRecords<K> {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  get size(): number {
    return this.#table.size;
  }

  get(key: string): RecordOf<K> | undefined {
    return this.#table.get(key)?.record as RecordOf<K> | undefined;
  }

  has(key: string): boolean {
    return this.#table.has(key);
  }

  *entries(fromKey?: string): IterableIterator<[string, RecordOf<K>]> {
    for (const [key, { record }] of this.#table.entries(fromKey)) yield [key, record as RecordOf<K>];
  }
}

/** The next view in the making. Changes are given in groups that happen at once; `freeze` ends it. */
export class ViewDraft {
  readonly #tables: Thawed<Kind, Table>;
  readonly #indexes: Thawed<IndexName, KeyIndex>;
  readonly #ids: Thawed<ClaimPool, IdPool>;
  readonly #books: AddressBooks;
  readonly #sources: BookSources;
  /** Of the store, as its mark says. */
  epoch: string;

  constructor({ parts }: FrozenView) {
    this.epoch = parts.epoch;
    this.#tables = new Thawed(parts.tables);
    this.#indexes = new Thawed(parts.indexes);
    this.#ids = new Thawed(parts.ids);
    this.#books = parts.books.clone();
    this.#sources = {
      network: (key) => this.#get("network", key),
      groupsOf: (networkKey) => this.#members("groupsOfNetwork", networkKey, "endpointGroup"),
      leasesOf: (networkKey) => this.#leasesOf(networkKey),
    };
  }

  /** What the draft holds of an object now. */
  record<K extends Kind>(kind: K, key: string): RecordOf<K> | undefined {
    return this.#get(kind, key);
  }

  apply(changes: readonly ObjectChange[]): void {
    for (const change of changes) this.#store(change);
    applyToIds(this.#ids, changes);
    this.#books.apply(changes, this.#sources);
  }

  /** A view that changes with the draft: for plans that follow each other, of which each is made on those before. */
  live(revision: bigint): FrozenView {
    const parts = { tables: this.#tables.live, indexes: this.#indexes.live, ids: this.#ids.live };
    return new FrozenView({ revision, epoch: this.epoch, books: this.#books, ...parts });
  }

  freeze(revision: bigint): FrozenView {
    const parts = { tables: this.#tables.freeze(), indexes: this.#indexes.freeze(), ids: this.#ids.freeze() };
    return new FrozenView({ revision, epoch: this.epoch, books: this.#books, ...parts });
  }

  #store({ kind, key, record, previous, modRevision }: ObjectChange): void {
    const table = this.#tables.write(kind);
    if (previous !== undefined) {
      for (const entry of indexEntries(kind, previous)) this.#indexes.write(entry.index).remove(entry);
    }
    if (record === undefined) {
      table.delete(key);
      return;
    }
    table.set(key, { record, modRevision });
    for (const entry of indexEntries(kind, record)) this.#indexes.write(entry.index).add(entry);
  }

  #get<K extends Kind>(kind: K, key: string): RecordOf<K> | undefined {
    return this.#tables.read(kind).get(key)?.record as RecordOf<K> | undefined;
  }

  *#members<K extends Kind>(index: IndexName, under: string, kind: K): Generator<RecordOf<K>> {
    for (const key of this.#indexes.read(index).get(under)) {
      const record = this.#get(kind, key);
      if (record !== undefined) yield record;
    }
  }

  *#leasesOf(networkKey: string): Generator<Lease> {
    for (const record of this.#members("endpointsOfNetwork", networkKey, "endpoint")) yield leaseOf("endpoint", record);
    for (const record of this.#members("addressesOfNetwork", networkKey, "address")) yield leaseOf("address", record);
  }
}

/** The view of an empty store at revision 0. */
export function emptyView(): FrozenView {
  return new FrozenView({
    revision: 0n,
    epoch: "",
    tables: named(KINDS, () => sortedMap<string, Stored>(compareText)),
    indexes: named(INDEX_NAMES, () => new KeyIndex()),
    books: new AddressBooks(),
    ids: EMPTY_ID_BOOKS,
  });
}

/** The view after changes that happen at once. The old one stays valid; the cost does not depend on what did not change. */
export function applyChanges(view: FrozenView, changes: readonly ObjectChange[], revision: bigint): FrozenView {
  const draft = new ViewDraft(view);
  draft.apply(changes);
  return draft.freeze(revision);
}

function named<N extends string, V>(names: readonly N[], make: () => V): Readonly<Record<N, V>> {
  return Object.freeze(Object.fromEntries(names.map((name) => [name, make()])) as Record<N, V>);
}
