import fc from "fast-check";
import type { Action, Bits, Nat } from "../action.ts";
import type { FieldName } from "../fields.ts";
import type { Flow } from "../flow.ts";
import { anyIpMatch, anyMatch, ipv4, ipv6, mac, uint } from "./field-arbitrary.ts";

const registerName = fc.integer({ min: 0, max: 15 }).map((index) => `reg${index}` as FieldName);
const table = fc.integer({ min: 0, max: 253 });

/** Some bits of a register; the whole of it has no numbers, as when decoded. */
function bitsOf(field: fc.Arbitrary<FieldName>, width: number): fc.Arbitrary<Bits> {
  return fc
    .tuple(field, fc.integer({ min: 0, max: 31 }), fc.integer({ min: 1, max: 32 }))
    .map(([name, start, count]) => {
      const bitCount = Math.min(count, width - start);
      return bitCount === width ? { field: name } : { field: name, startBit: start, bitCount };
    });
}

const registerBits = bitsOf(registerName, 32);

/** Two places of the same size. */
const twoPlaces = fc
  .tuple(registerName, registerName, fc.integer({ min: 1, max: 31 }), fc.nat(31), fc.nat(31))
  .map(([from, to, bitCount, a, b]) => ({
    src: { field: from, startBit: a % (33 - bitCount), bitCount },
    dst: { field: to, startBit: b % (33 - bitCount), bitCount },
  }));

const setField: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant("setField" as const), field: registerName, value: uint(32) }),
  fc
    .tuple(registerName, uint(32), fc.integer({ min: 1, max: 0xfffffffe }))
    .map(([field, value, mask]) => ({ kind: "setField", field, value: (value & mask) >>> 0, mask })),
  fc.record({ kind: fc.constant("setField" as const), field: fc.constantFrom("ethSrc", "ethDst"), value: mac }),
  fc.record({ kind: fc.constant("setField" as const), field: fc.constantFrom("tunSrc", "tunDst"), value: ipv4 }),
  fc.record({ kind: fc.constant("setField" as const), field: fc.constantFrom("tunIpv6Dst"), value: ipv6 }),
  fc.record({
    kind: fc.constant("setField" as const),
    field: fc.constantFrom("tunId", "metadata", "xreg3"),
    value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  }),
  fc.record({
    kind: fc.constant("setField" as const),
    field: fc.constantFrom("xxreg1"),
    value: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
  }),
) as fc.Arbitrary<Action>;

const note = fc
  .uint8Array({ maxLength: 20 })
  .filter((bytes) => bytes.at(-1) !== 0)
  .map((data): Action => ({ kind: "note", data }));

/** With an id: ovs-ofctl makes an output action of one that says no more than a length. */
const controller = fc.record(
  {
    kind: fc.constant("controller" as const),
    maxLenBytes: uint(15),
    controllerId: fc.integer({ min: 1, max: 0xffff }),
    reason: fc.constantFrom(0, 2),
    userdata: fc.uint8Array({ minLength: 1, maxLength: 20 }),
    pause: fc.constant(true as const),
  },
  { requiredKeys: ["kind", "controllerId"] },
);

/** Actions that the switch takes with any match. */
const simpleAction: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant("output" as const), port: fc.integer({ min: 1, max: 0xfeff }) }),
  fc.record({
    kind: fc.constant("output" as const),
    port: fc.constantFrom("in_port", "normal", "flood", "all", "local", "controller"),
  }) as fc.Arbitrary<Action>,
  fc.record({ kind: fc.constant("output" as const), port: fc.constant("controller" as const), maxLenBytes: uint(15) }),
  registerBits.map((src): Action => ({ kind: "outputField", src })),
  setField,
  twoPlaces.map((places): Action => ({ kind: "move", ...places })),
  fc.constant<Action>({ kind: "move", src: { field: "ethSrc" }, dst: { field: "ethDst" } }),
  fc.record({ kind: fc.constant("setQueue" as const), queue: uint(16) }),
  table.map((number): Action => ({ kind: "resubmit", table: number })),
  fc.integer({ min: 1, max: 0xfeff }).map((inPort): Action => ({ kind: "resubmit", inPort })),
  fc.record({ kind: fc.constant("resubmit" as const), table, inPort: fc.integer({ min: 1, max: 0xfeff }) }),
  fc.constant<Action>({ kind: "ctClear" }),
  fc.tuple(uint(16), fc.integer({ min: 0, max: 31 })).map(([lengthBytes, startBit]): Action => {
    return { kind: "checkPktLarger", lengthBytes, dst: { field: "reg3", startBit, bitCount: 1 } };
  }),
  controller,
  note,
  fc.record({
    kind: fc.constant("sample" as const),
    probability: fc.integer({ min: 1, max: 0xffff }),
    collectorSet: uint(32),
    observationDomain: uint(32),
    observationPoint: uint(32),
  }),
  fc.record({ kind: fc.constantFrom("push" as const, "pop" as const), bits: registerBits }),
);

const learn: fc.Arbitrary<Action> = fc.record(
  {
    kind: fc.constant("learn" as const),
    table,
    priority: uint(16),
    cookie: fc.bigInt({ min: 0n, max: 2n ** 64n - 2n }),
    idleTimeoutS: fc.integer({ min: 1, max: 0xffff }),
    hardTimeoutS: fc.integer({ min: 1, max: 0xffff }),
    finIdleTimeoutS: fc.integer({ min: 1, max: 0xffff }),
    finHardTimeoutS: fc.integer({ min: 1, max: 0xffff }),
    flags: fc.constantFrom(1, 2, 3),
    specs: fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant("load" as const), dst: registerBits, src: fc.constant(0n) }),
        fc.constantFrom(
          { kind: "match" as const, dst: { field: "ethDst" as const }, src: { field: "ethSrc" as const } },
          { kind: "match" as const, dst: { field: "ethType" as const }, src: 0x0806n },
          { kind: "load" as const, dst: { field: "reg1" as const }, src: { field: "reg2" as const } },
          { kind: "output" as const, src: { field: "reg3" as const } },
        ),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  },
  { requiredKeys: ["kind", "table", "priority", "cookie", "specs"] },
);

const direction = fc.constantFrom("src" as const, "dst" as const);
const nat4: fc.Arbitrary<Nat> = fc.oneof(
  fc.record({ direction }),
  fc.record({ direction, addressMin: ipv4 }),
  fc.constant<Nat>({ direction: "src", addressMin: "10.0.0.1", addressMax: "10.0.0.9", hash: true }),
  fc.constant<Nat>({ direction: "src", addressMin: "10.0.0.1", portMin: 1000, portMax: 2000, random: true }),
);
const nat6: fc.Arbitrary<Nat> = fc.oneof(
  fc.record({ direction, addressMin: ipv6 }),
  fc.constant<Nat>({ direction: "dst", addressMin: "fd00::1", addressMax: "fd00::9", portMin: 5, persistent: true }),
);

const ctExec = fc.array(
  fc.oneof(
    uint(32).map((value): Action => ({ kind: "setField", field: "ctMark", value })),
    fc.constant<Action>({ kind: "setField", field: "ctLabel", value: 5n, mask: 7n }),
    fc.constant<Action>({ kind: "move", src: { field: "reg5" }, dst: { field: "ctMark" } }),
  ),
  { minLength: 1, maxLength: 3 },
);

function ctOf(nat: fc.Arbitrary<Nat>): fc.Arbitrary<Action> {
  const zone = fc.oneof(
    fc.integer({ min: 1, max: 0xffff }),
    fc.constant<Bits>({ field: "reg6", startBit: 8, bitCount: 16 }),
  );
  const kind = fc.constant("ct" as const);
  const yes = fc.constant(true as const);
  return fc.oneof(
    fc.record({ kind, commit: yes, force: yes, zone, table, nat, exec: ctExec }, { requiredKeys: ["kind", "commit"] }),
    fc.record({ kind, zone, table, nat: fc.constant({}) }, { requiredKeys: ["kind"] }),
  );
}

const clone: fc.Arbitrary<Action> = fc.array(simpleAction, { minLength: 1, maxLength: 3 }).map((actions) => ({
  kind: "clone",
  actions,
}));

const anyAction = fc.oneof({ weight: 6, arbitrary: simpleAction }, learn, clone);
const decTtl = fc.constant<Action>({ kind: "decTtl" });
/** By Ethernet type: the translated address is of the same family as the packet. */
const ipActions = new Map([
  [0x0800, fc.oneof({ weight: 4, arbitrary: anyAction }, { weight: 2, arbitrary: ctOf(nat4) }, decTtl)],
  [0x86dd, fc.oneof({ weight: 4, arbitrary: anyAction }, { weight: 2, arbitrary: ctOf(nat6) }, decTtl)],
]);

/** Tags once: the switch counts tags and refuses a third. */
const tagging: fc.Arbitrary<readonly Action[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  fc
    .tuple(fc.constantFrom<Action>({ kind: "pushVlan" }, { kind: "pushVlan", ethType: 0x88a8 }), uint(12))
    .map(([push, value]): Action[] => [push, { kind: "setField", field: "vlanVid", value }, { kind: "popVlan" }]),
);

function flowOf(match: typeof anyMatch, action: fc.Arbitrary<Action>): fc.Arbitrary<Flow> {
  return fc
    .record(
      {
        table: fc.integer({ min: 0, max: 252 }),
        priority: uint(16),
        cookie: fc.bigInt({ min: 0n, max: 2n ** 64n - 2n }),
        match,
        actions: fc.tuple(tagging, fc.array(action, { maxLength: 6 })).map(([first, rest]) => [...first, ...rest]),
        goto: fc.constant(253),
        meter: fc.constant(1),
        idleTimeoutS: fc.integer({ min: 1000, max: 0xffff }),
        hardTimeoutS: fc.integer({ min: 1000, max: 0xffff }),
        importance: fc.integer({ min: 1, max: 0xffff }),
        flags: fc.constantFrom(1, 8, 16, 25),
      },
      { requiredKeys: ["table", "priority", "cookie", "match", "actions"] },
    )
    .map((flow): Flow => flow);
}

const conjunctions = fc
  .array(
    fc.record({
      kind: fc.constant("conjunction" as const),
      id: uint(32),
      clause: fc.integer({ min: 1, max: 2 }),
      clauseCount: fc.integer({ min: 2, max: 64 }),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((actions): readonly Action[] => actions);

const conjunctiveFlow: fc.Arbitrary<Flow> = fc.record({
  table: fc.integer({ min: 0, max: 252 }),
  priority: uint(16),
  cookie: fc.constant(1n),
  match: anyMatch.map(({ conjId: _, ...match }) => match),
  actions: conjunctions,
});

/** Flows that Open vSwitch accepts (given meter 1), in the form in which they are decoded. */
export const anyFlow: fc.Arbitrary<Flow> = fc.oneof(
  { weight: 4, arbitrary: flowOf(anyMatch, anyAction) },
  {
    weight: 4,
    arbitrary: anyIpMatch.chain((match) => flowOf(fc.constant(match), ipActions.get(match.ethType ?? 0) ?? anyAction)),
  },
  { weight: 1, arbitrary: conjunctiveFlow },
);
