import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { FieldName } from "../../../drivers/ovs/openflow/fields.ts";
import type { FlowDraft } from "../engine/context.ts";
import { EtherType, HOST_ERRORS, setField } from "../pipeline/actions.ts";
import { Flag, hasFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";

const WORD_BITS = 32;
const NIBBLE_BITS = 4;
const NIBBLES_PER_WORD = WORD_BITS / NIBBLE_BITS;
const NIBBLE_VALUES = 1 << NIBBLE_BITS;
const LAST_IPV6_WORD = 3;

interface Family {
  readonly version: 4 | 6;
  readonly ethType: number;
  readonly source: FieldName;
  readonly target: FieldName;
  readonly lastWord: number;
}

const FAMILIES: readonly Family[] = [
  { version: 4, ethType: EtherType.ipv4, source: "ipv4Src", target: "ctNwDst", lastWord: 0 },
  {
    ...{ version: 6, ethType: EtherType.ipv6, source: "ipv6Src", target: "ctIpv6Dst" },
    lastWord: LAST_IPV6_WORD,
  },
];

/** Errors about packets of a connection's original direction: they come the other way. */
const ABOUT_ORIGINAL = "+rel+rpl+trk";
/** Errors about replies. Open vSwitch 3.1 tells no action their connection's addresses (lib/flow.h, is_ct_valid). */
const ABOUT_REPLY = "+rel-rpl+trk";

/**
 * ICMP errors of tracked connections. That a port or protocol is unreachable only the addressee of the quoted packet can know: such an
 * error passes when its source is that address; about a reply this cannot be told, so none passes. Other errors are routers' and pass
 * from uplinks, where routers are. (That the quoted packet was sent by the error's addressee conntrack itself checks.)
 */
export function relatedErrors(): FlowDraft[] {
  const table = Table.connection;
  const { hostError, routerError, related } = Priority.connection;
  const hostErrors = FAMILIES.flatMap((family) =>
    HOST_ERRORS[family.version].flatMap((error): FlowDraft[] => [
      {
        ...{ table, priority: hostError, match: { ctState: ABOUT_ORIGINAL, ...error } },
        actions: wordActions(family, family.lastWord),
        goto: Table.errorSource,
      },
      { table, priority: hostError, match: { ctState: ABOUT_REPLY, ...error } },
    ]),
  );
  const fromRouters = { ctState: "+rel-inv+trk", [Register.flags]: hasFlags(Flag.fromUplink) };
  return [
    ...hostErrors,
    { table, priority: routerError, match: fromRouters, goto: Table.route },
    { table, priority: related, match: { ctState: "+rel+trk" } },
    ...comparison(),
  ];
}

/** Lays a 32-bit word of the packet's source and of the connection's target beside each other; word 0 is the lowest. */
function wordActions({ source, target }: Family, word: number): Action[] {
  return [
    moveWord(source, word, Register.comparedLeft),
    moveWord(target, word, Register.comparedRight),
    setField(Register.compareStep, stepOf(word, 0)),
  ];
}

function moveWord(field: FieldName, word: number, register: FieldName): Action {
  return {
    kind: "move",
    src: { field, startBit: word * WORD_BITS, bitCount: WORD_BITS },
    dst: { field: register, startBit: 0, bitCount: WORD_BITS },
  };
}

/** Where the comparison is: the word in bits 4 and 5, below it the nibble that is next (8: the word is done). */
function stepOf(word: number, nibble: number): number {
  return (word << NIBBLE_BITS) | nibble;
}

/**
 * OpenFlow compares fields with constants only. So two registers are compared four bits at a time: each nibble that is equal leads to
 * the next one, a different one matches nothing and is dropped. 132 flows, whatever the number of endpoints.
 */
function comparison(): FlowDraft[] {
  const table = Table.errorSource;
  const again: Action = { kind: "resubmit", table };
  const nibbles = Array.from({ length: NIBBLES_PER_WORD * NIBBLE_VALUES }, (_, index): FlowDraft => {
    const [nibble, digit] = [Math.floor(index / NIBBLE_VALUES), index % NIBBLE_VALUES];
    const shift = nibble * NIBBLE_BITS;
    const same = { value: (digit << shift) >>> 0, mask: ((NIBBLE_VALUES - 1) << shift) >>> 0 };
    const next: Action = {
      ...{ kind: "setField", field: Register.compareStep },
      ...{ value: nibble + 1, mask: NIBBLE_VALUES - 1 },
    };
    return {
      ...{ table, priority: Priority.errorSource.nibble, actions: [next, again] },
      match: {
        [Register.compareStep]: { value: nibble, mask: NIBBLE_VALUES - 1 },
        [Register.comparedLeft]: same,
        [Register.comparedRight]: same,
      },
    };
  });
  return [...nibbles, ...nextWords(again)];
}

function nextWords(again: Action): FlowDraft[] {
  const [table, priority] = [Table.errorSource, Priority.errorSource.wordDone];
  const done = (word: number) => ({ [Register.compareStep]: stepOf(word, NIBBLES_PER_WORD) });
  const words = FAMILIES.flatMap((family) =>
    Array.from(
      { length: family.lastWord },
      (_, below): FlowDraft => ({
        ...{ table, priority, match: { ctState: ABOUT_ORIGINAL, ethType: family.ethType, ...done(below + 1) } },
        actions: [...wordActions(family, below), again],
      }),
    ),
  );
  return [...words, { table, priority, match: done(0), goto: Table.route }];
}
