import { asNetError, NetError } from "../../state/errors.ts";
import { parseObjectKey } from "../../state/keys.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import { type Kind, RECORDS, type RecordOf } from "../../state/records.ts";

/** A record as the store holds it. */
export interface ParsedObject {
  readonly kind: Kind;
  readonly record: RecordOf<Kind>;
}

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});
const MAX_INTERNED = 100_000;

/** One copy of each text that many records share. */
export class Interner {
  readonly #texts = new Map<string, string>();

  intern<T extends string>(text: T): T {
    const known = this.#texts.get(text);
    if (known !== undefined) return known as T;
    if (this.#texts.size < MAX_INTERNED) this.#texts.set(text, text);
    return text;
  }
}

/** Reads one value of the store; throws PROTOCOL saying what is wrong with it. */
export function parseObject(storeKey: string, value: string, interner: Interner): ParsedObject {
  const { kind, key } = parseObjectKey(storeKey);
  const doing = `read "${storeKey}" from the store`;
  const result = RECORDS[kind].safeParse(parseJson(value, doing));
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new NetError("PROTOCOL", `Cannot ${doing}: ${issue?.path.join(".")} ${issue?.message}`);
  }
  const record = result.data;
  if (record.key !== key) throw new NetError("PROTOCOL", `Cannot ${doing}: it says its key is "${record.key}"`);
  checkRanges(kind, record, doing);
  return {
    kind,
    record: Object.freeze(kind === "endpoint" ? compact(record as RecordOf<"endpoint">, interner) : record),
  };
}

function parseJson(value: string, doing: string): unknown {
  try {
    return JSON.parse(value);
  } catch (error) {
    throw asNetError(error, doing, "PROTOCOL");
  }
}

/** Subnet texts that the schema let through and nobody can read would break the view later. */
function checkRanges(kind: Kind, record: RecordOf<Kind>, doing: string): void {
  if (kind !== "network") return;
  try {
    networkRanges((record as RecordOf<"network">).config);
  } catch (error) {
    throw new NetError("PROTOCOL", `Cannot ${doing}: ${asNetError(error, doing).message}`, { cause: error });
  }
}

/** There are many endpoints and few names: they share their texts, and one object for "no labels". */
function compact(record: RecordOf<"endpoint">, interner: Interner): RecordOf<"endpoint"> {
  return {
    ...record,
    nodeName: interner.intern(record.nodeName),
    tenantName: interner.intern(record.tenantName),
    networkName: interner.intern(record.networkName),
    groupName: interner.intern(record.groupName),
    ifName: interner.intern(record.ifName),
    podNamespace: interner.intern(record.podNamespace),
    endpointId: record.endpointId === record.containerId ? record.containerId : record.endpointId,
    labels: Object.keys(record.labels).length === 0 ? NO_LABELS : record.labels,
  };
}
