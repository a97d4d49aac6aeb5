import { getU8, getU32, type Reader, skip } from "./bytes.ts";

/** How many flows a table has, whoever has put them there. */
export interface TableCount {
  readonly table: number;
  readonly flowCount: number;
}

/** Lookups and matches, which nobody here asks for. */
const COUNTERS_BYTES = 16;

/** One entry of a table statistics reply (openflow-1.3.h, struct ofp13_table_stats). The switch keeps this number: it looks at no flow. */
export function getTableCount(reader: Reader): TableCount {
  const table = getU8(reader);
  skip(reader, 3);
  const flowCount = getU32(reader);
  skip(reader, COUNTERS_BYTES);
  return { table, flowCount };
}
