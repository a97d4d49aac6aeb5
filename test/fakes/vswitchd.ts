import type { Row, Tables } from "./ovsdb-tables.ts";

/** Does what ovs-vswitchd does after a change of configuration: ofports, datapath ids, cur_cfg. */
export function actAsVswitchd(
  tables: Tables,
  refuses: Readonly<Record<string, string>>,
  transact: (operations: readonly unknown[]) => unknown,
): void {
  const operations = [...interfaceUpdates(tables, refuses), ...bridgeUpdates(tables), ...configurationUpdates(tables)];
  if (operations.length > 0) setImmediate(() => transact(operations));
}

function* interfaceUpdates(tables: Tables, refuses: Readonly<Record<string, string>>): Generator<unknown> {
  const taken = new Set(rows(tables, "Interface").map(([, row]) => row.ofport?.keys[0]));
  for (const [uuid, row] of rows(tables, "Interface")) {
    if (row.ofport?.keys.length !== 0) continue;
    const error = refuses[String(row.name?.keys[0])];
    const ofport = error === undefined ? nextFree(taken, row.ofport_request?.keys[0]) : -1;
    taken.add(ofport);
    yield update("Interface", uuid, { ofport, ...(error === undefined ? { link_state: "up" } : { error }) });
  }
}

function nextFree(taken: ReadonlySet<unknown>, requested: unknown): number {
  if (typeof requested === "number" && !taken.has(requested)) return requested;
  let ofport = 1;
  while (taken.has(ofport)) ofport++;
  return ofport;
}

function* bridgeUpdates(tables: Tables): Generator<unknown> {
  for (const [uuid, row] of rows(tables, "Bridge")) {
    if (row.datapath_id?.keys.length !== 0) continue;
    yield update("Bridge", uuid, { datapath_id: uuid.replaceAll("-", "").slice(0, 16) });
  }
}

function* configurationUpdates(tables: Tables): Generator<unknown> {
  for (const [uuid, row] of rows(tables, "Open_vSwitch")) {
    const wanted = row.next_cfg?.keys[0];
    if (row.cur_cfg?.keys[0] !== wanted) yield update("Open_vSwitch", uuid, { cur_cfg: wanted });
  }
}

function rows(tables: Tables, table: string): [string, Row][] {
  return [...(tables.get(table) ?? [])];
}

function update(table: string, uuid: string, row: unknown): unknown {
  return { op: "update", table, where: [["_uuid", "==", ["uuid", uuid]]], row };
}
