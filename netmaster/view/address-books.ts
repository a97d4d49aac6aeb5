import { addressOf } from "../../state/address.ts";
import { type AddressPool, emptyAddressPool } from "../../state/allocators/address-pool.ts";
import type { Network } from "../../state/kinds/network.ts";
import { type FamilyRanges, groupPoolRange, networkRanges } from "../../state/network-ranges.ts";
import type { RecordOf } from "../../state/records.ts";
import { type SortedMap, sortedMap } from "../../state/sorted-map.ts";
import { networkKeyOf } from "./indexes.ts";
import type { ObjectChange } from "./types.ts";

/** Which addresses of one network are in use; both families. */
export interface AddressBook {
  readonly ipv4: AddressPool;
  readonly ipv6: AddressPool | undefined;
}

/** What the books must look up while a network's book is made: everything that lives in it already. */
export interface BookSources {
  network(networkKey: string): RecordOf<"network"> | undefined;
  groupsOf(networkKey: string): Iterable<RecordOf<"endpointGroup">>;
  leasesOf(networkKey: string): Iterable<Lease>;
}

/** What holds addresses: an endpoint, or a bare allocation. */
export interface Lease {
  readonly networkId: number;
  readonly addresses: readonly string[];
}

/** The books of all networks by network id. `clone()` costs nothing, and the copy may change without touching the original. */
export class AddressBooks {
  readonly #books: SortedMap<number, AddressBook>;
  /** The books that no clone shares. */
  readonly #own = new Set<number>();

  constructor(books: SortedMap<number, AddressBook> = sortedMap(compareId)) {
    this.#books = books;
  }

  clone(): AddressBooks {
    this.#own.clear();
    return new AddressBooks(this.#books.clone());
  }

  get(networkId: number): AddressBook | undefined {
    return this.#books.get(networkId);
  }

  /** Follows changes that happen at once. Everything that goes is released before anything that comes is taken. */
  apply(changes: readonly ObjectChange[], sources: BookSources): void {
    for (const change of changes) this.#release(change, sources);
    for (const change of changes) if (change.kind === "network") this.#open(change.record, sources);
    for (const change of changes) this.#take(change, sources);
  }

  #release({ kind, record, previous }: ObjectChange, sources: BookSources): void {
    if (previous === undefined) return;
    if (kind === "network") {
      if (record === undefined || !hasSameRanges(record.config, previous.config)) this.#close(previous.networkId);
    } else if (kind === "endpointGroup") {
      if (previous.config.ipPool === "" || record?.config.ipPool === previous.config.ipPool) return;
      this.#removePool(previous, sources);
    } else if (kind === "endpoint" || kind === "address") {
      const lease = leaseOf(kind, previous);
      if (record === undefined || !isSame(lease, leaseOf(kind, record))) this.#each(lease, release);
    }
  }

  #take({ kind, record, previous }: ObjectChange, sources: BookSources): void {
    if (record === undefined) return;
    if (kind === "endpointGroup") {
      if (record.config.ipPool !== previous?.config.ipPool) this.#addPool(record, sources);
    } else if (kind === "endpoint" || kind === "address") {
      const lease = leaseOf(kind, record);
      if (previous === undefined || !isSame(lease, leaseOf(kind, previous))) this.#each(lease, take);
    }
  }

  /** Makes the book of a new network, with what lives in it already (a load brings endpoints before networks). */
  #open(network: RecordOf<"network"> | undefined, sources: BookSources): void {
    if (network === undefined || this.#books.has(network.networkId)) return;
    const { ipv4, ipv6 } = networkRanges(network.config);
    const book = { ipv4: poolOf(ipv4), ipv6: ipv6 === undefined ? undefined : poolOf(ipv6) };
    this.#books.set(network.networkId, book);
    this.#own.add(network.networkId);
    for (const group of sources.groupsOf(network.key)) addPoolTo(book, group, network);
    for (const lease of sources.leasesOf(network.key)) this.#each(lease, take);
    book.ipv4.startAfterHighest();
    book.ipv6?.startAfterHighest();
  }

  #close(networkId: number): void {
    this.#books.delete(networkId);
    this.#own.delete(networkId);
  }

  #addPool(group: RecordOf<"endpointGroup">, sources: BookSources): void {
    const network = sources.network(networkKeyOf(group.config));
    const book = network === undefined ? undefined : this.#writable(network.networkId);
    if (network === undefined || book === undefined || book.ipv4.poolRange(group.key) !== undefined) return;
    addPoolTo(book, group, network);
  }

  #removePool(group: RecordOf<"endpointGroup">, sources: BookSources): void {
    const network = sources.network(networkKeyOf(group.config));
    if (network !== undefined) this.#writable(network.networkId)?.ipv4.removePool(group.key);
  }

  #each({ networkId, addresses }: Lease, change: (pool: AddressPool, address: bigint) => void): void {
    const book = this.#writable(networkId);
    if (book === undefined) return;
    for (const text of addresses) {
      const isIpv6 = text.includes(":");
      const pool = isIpv6 ? book.ipv6 : book.ipv4;
      if (pool !== undefined) change(pool, addressOf(isIpv6 ? 6 : 4, text));
    }
  }

  #writable(networkId: number): AddressBook | undefined {
    const present = this.#books.get(networkId);
    if (present === undefined || this.#own.has(networkId)) return present;
    const book = { ipv4: present.ipv4.clone(), ipv6: present.ipv6?.clone() };
    this.#books.set(networkId, book);
    this.#own.add(networkId);
    return book;
  }
}

/** The addresses that an endpoint or bare allocation holds. */
export function leaseOf(kind: "endpoint" | "address", record: RecordOf<"endpoint"> | RecordOf<"address">): Lease {
  const { networkId } = record;
  if (kind === "address") return { networkId, addresses: [(record as RecordOf<"address">).ip] };
  const { ipv4, ipv6 } = record as RecordOf<"endpoint">;
  return { networkId, addresses: ipv6 === undefined ? [ipv4] : [ipv4, ipv6] };
}

function isSame(left: Lease, right: Lease): boolean {
  return left.networkId === right.networkId && left.addresses.join() === right.addresses.join();
}

function hasSameRanges(left: Network, right: Network): boolean {
  const fields = ["subnet", "gateway", "ipv6Subnet", "ipv6Gateway"] as const;
  return fields.every((field) => left[field] === right[field]);
}

function compareId(left: number, right: number): number {
  return left - right;
}

function poolOf({ bounds, gateway }: FamilyRanges): AddressPool {
  return emptyAddressPool({ bounds, reserved: gateway === undefined ? [] : [gateway] });
}

function addPoolTo(book: AddressBook, group: RecordOf<"endpointGroup">, network: RecordOf<"network">): void {
  const range = groupPoolRange(group.config, network.config);
  if (range !== undefined) book.ipv4.addPool(group.key, range);
}

function take(pool: AddressPool, address: bigint): void {
  pool.take(address);
}

function release(pool: AddressPool, address: bigint): void {
  pool.release(address);
}
