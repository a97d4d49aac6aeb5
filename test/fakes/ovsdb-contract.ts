import { connect, type Socket } from "node:net";

/** Transactions that the fake and the real ovsdb-server must answer alike; each begins with what the ones before left. */
export const CONTRACT: readonly (readonly [title: string, ...operations: readonly unknown[]])[] = [
  ["a comment", { op: "comment", comment: "x" }],
  ["an unknown operation", { op: "comment", comment: "x" }, { op: "nope" }, { op: "comment", comment: "y" }],
  ["no operation", { table: "Bridge" }],
  ["an unknown table", { op: "insert", table: "Nope", row: {} }],
  ["an unknown column", { op: "insert", table: "Bridge", row: { foo: 1 } }],
  ["a member too many", { op: "select", table: "Bridge", where: [], foo: 1 }],
  ["a member too few", { op: "select", table: "Bridge" }],
  ["a number for a string", { op: "insert", table: "Bridge", row: { name: 1 } }],
  ["a number for a string in a map", { op: "insert", table: "Interface", row: { external_ids: ["map", [["a", 1]]] } }],
  ["a fraction for an integer", { op: "insert", table: "Interface", row: { ofport_request: 1.5 } }],
  ["a value outside its enumeration", { op: "insert", table: "Bridge", row: { name: "b", fail_mode: "zzz" } }],
  ["a value outside its range", { op: "insert", table: "Interface", row: { name: "d", ofport_request: 70_000 } }],
  ["too many elements", { op: "insert", table: "Port", row: { name: "d", tag: ["set", [1, 2]] } }],
  ["too few elements", { op: "insert", table: "Port", row: { name: "d", interfaces: ["set", []] } }],
  ["the same element twice", { op: "insert", table: "Port", row: { trunks: ["set", [1, 1]] } }],
  [
    "the same key twice",
    {
      op: "insert",
      table: "Interface",
      row: {
        external_ids: [
          "map",
          [
            ["a", "1"],
            ["a", "2"],
          ],
        ],
      },
    },
  ],
  ["a second row where one is allowed", { op: "insert", table: "Open_vSwitch", row: {} }],
  ["a port without interfaces", { op: "insert", table: "Port", row: { name: "p" } }],
  ["a reference to nothing", port("p", ["uuid", "00000000-0000-0000-0000-000000000001"])],
  ["a name for nothing", port("p", ["named-uuid", "zz"])],
  ["a name twice", named("Interface", "a", { name: "i1" }), named("Interface", "a", { name: "i2" })],
  ["a bad name", named("Bridge", "a-b", {})],
  ["a guard that fails", guard("==", 99, 0)],
  ["a guard that holds", guard("!=", 99, 0)],
  ["a wait that ends", guard("==", 99, 20)],
  ["a wrong until", { ...guard("==", 99, 0), until: ">" }],
  ["an abort", { op: "abort" }],
  ["a lock not held", { op: "assert", lock: "l" }],
  ["a row nothing refers to", { op: "insert", table: "Interface", row: { name: "orphan" } }],
  ["which is gone at once", { op: "select", table: "Interface", where: [], columns: ["name"] }],
  ["a bridge with two ports", ...bridge("br0", ["p0", "p1"])],
  ["a name that is taken", ...bridge("br1", ["p0"])],
  [
    "the ports",
    { op: "select", table: "Port", where: [["name", "==", "p1"]], columns: ["name", "tag", "trunks", "other_config"] },
  ],
  ["counters", mutateRoot(["next_cfg", "+=", 5], ["next_cfg", "*=", 2], ["next_cfg", "-=", 1])],
  ["a division by zero", mutateRoot(["next_cfg", "/=", 0])],
  ["a sum of a fraction", mutateRoot(["next_cfg", "+=", 1.5])],
  [
    "pairs inserted",
    mutateRoot([
      "external_ids",
      "insert",
      [
        "map",
        [
          ["a", "1"],
          ["b", "2"],
        ],
      ],
    ]),
  ],
  [
    "pairs present are kept",
    mutateRoot([
      "external_ids",
      "insert",
      [
        "map",
        [
          ["a", "9"],
          ["c", "3"],
        ],
      ],
    ]),
  ],
  ["keys deleted", mutateRoot(["external_ids", "delete", ["set", ["a", "zz"]]])],
  [
    "pairs deleted only where the value matches",
    mutateRoot([
      "external_ids",
      "delete",
      [
        "map",
        [
          ["b", "9"],
          ["c", "3"],
        ],
      ],
    ]),
  ],
  ["an immutable column updated", { op: "update", table: "Bridge", where: [], row: { name: "x" } }],
  [
    "an immutable column mutated",
    { op: "mutate", table: "Interface", where: [], mutations: [["name", "insert", "x"]] },
  ],
  [
    "the uuid updated",
    { op: "update", table: "Bridge", where: [], row: { _uuid: ["uuid", "00000000-0000-0000-0000-000000000001"] } },
  ],
  ["an unknown comparison", { op: "select", table: "Bridge", where: [["name", "~", "x"]] }],
  ["a condition on no column", { op: "select", table: "Bridge", where: [["nope", "==", "x"]] }],
  [
    "the root",
    {
      op: "select",
      table: "Open_vSwitch",
      where: [["external_ids", "includes", ["map", [["b", "2"]]]]],
      columns: ["next_cfg", "external_ids", "cur_cfg", "ovs_version"],
    },
  ],
  [
    "what excludes it",
    {
      op: "select",
      table: "Open_vSwitch",
      where: [["external_ids", "excludes", ["map", [["b", "2"]]]]],
      columns: ["next_cfg"],
    },
  ],
  ["optional values set and emptied", setTag("p0", 7), setTag("p1", ["set", [8]]), setTag("p0", ["set", []])],
  ["the tags", { op: "select", table: "Port", where: [["tag", "==", 8]], columns: ["name", "tag"] }],
  ["a weak reference", { op: "insert", table: "Mirror", row: { name: "m", output_port: ["set", []] } }],
  [
    "the bridge taken out",
    mutateRoot(["bridges", "delete", ["set", []]]),
    { op: "update", table: "Open_vSwitch", where: [], row: { bridges: ["set", []] } },
  ],
  ["which takes its ports along", { op: "select", table: "Port", where: [] }],
];

function port(name: string, interfaces: unknown): unknown {
  return { op: "insert", table: "Port", row: { name, interfaces } };
}

function named(table: string, name: string, row: object): unknown {
  return { op: "insert", table, row, "uuid-name": name };
}

function guard(until: string, nextCfg: number, timeout: number): object {
  return {
    op: "wait",
    table: "Open_vSwitch",
    timeout,
    columns: ["next_cfg"],
    where: [],
    until,
    rows: [{ next_cfg: nextCfg }],
  };
}

function mutateRoot(...mutations: readonly (readonly unknown[])[]): unknown {
  return { op: "mutate", table: "Open_vSwitch", where: [], mutations };
}

function setTag(name: string, tag: unknown): unknown {
  return { op: "update", table: "Port", where: [["name", "==", name]], row: { tag } };
}

function bridge(name: string, ports: readonly string[]): unknown[] {
  const members = ports.map((each) => ["named-uuid", `${each}_port`]);
  return [
    ...ports.flatMap((each) => [
      named("Interface", `${each}_interface`, { name: each }),
      named("Port", `${each}_port`, { name: each, interfaces: ["named-uuid", `${each}_interface`] }),
    ]),
    named("Bridge", "bridge", { name, ports: ["set", members] }),
    mutateRoot(["bridges", "insert", ["set", [["named-uuid", "bridge"]]]]),
  ];
}

/** Runs the contract over the wire and gives each answer as text in which uuids are numbered. */
export async function runContract(socketPath: string): Promise<Readonly<Record<string, string>>> {
  const socket = connect(socketPath);
  socket.setEncoding("utf8");
  const answers: Record<string, string> = {};
  try {
    for (const [title, ...operations] of CONTRACT) {
      const request = { method: "transact", params: ["Open_vSwitch", ...operations], id: title };
      answers[title] = normalise(await ask(socket, request));
    }
  } finally {
    socket.destroy();
  }
  return answers;
}

function ask(socket: Socket, request: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(request)}`)), 5_000);
    let text = "";
    const onData = (chunk: string) => {
      text += chunk;
      try {
        JSON.parse(text);
      } catch {
        return; // not complete yet
      }
      clearTimeout(deadline);
      socket.off("data", onData);
      resolve(text);
    };
    socket.on("data", onData);
    socket.write(JSON.stringify(request));
  });
}

/** Members sorted, uuids numbered by appearance, and without measured times and the identities that the index error appends. */
function normalise(text: string): string {
  const numbers = new Map<string, string>();
  const sorted = JSON.stringify(JSON.parse(text), (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return sorted
    .replace(/timed out after \d+ ms/, "timed out after some ms")
    .replace(/ {2}First row, with UUID.*?(?=")/, "")
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (uuid) => {
      if (!numbers.has(uuid)) numbers.set(uuid, `U${numbers.size + 1}`);
      return numbers.get(uuid) ?? "";
    });
}
