import { NetError } from "../../../state/errors.ts";
import type { Action, Bits } from "./action.ts";
import {
  checked,
  ETH_TYPE_VLAN,
  endAction,
  NXAST,
  nxmHeader,
  OFPAT,
  oxmHeader,
  packBits,
  resolveBits,
  startAction,
  startNicira,
  THIS_TABLE,
  WHOLE_PACKET,
} from "./action-wire.ts";
import { putBytes, putU8, putU16, putU32, putZeros, type Writer } from "./bytes.ts";
import { putController } from "./controller-codec.ts";
import { putCt } from "./ct-codec.ts";
import { plainRaw } from "./field-value.ts";
import { fieldByName } from "./fields.ts";
import { putLearn } from "./learn-codec.ts";
import { putOxm, refuseReadOnly } from "./oxm.ts";
import { portNumber } from "./port-number.ts";
import type { Port } from "./values.ts";

/** OFPP_IN_PORT of OpenFlow 1.0, whose 16-bit ports resubmit uses. */
const IN_PORT_16 = 0xfff8;

type Encoder<K extends Action["kind"]> = (writer: Writer, action: Extract<Action, { kind: K }>) => void;

/** How each kind is written. */
const ENCODERS: { readonly [K in Action["kind"]]: Encoder<K> } = {
  output: (writer, { port, maxLenBytes }) => putOutput(writer, port, maxLenBytes),
  outputField: (writer, { src, maxLenBytes }) => putOutputField(writer, src, maxLenBytes ?? WHOLE_PACKET),
  setField: putSetField,
  move: (writer, { src, dst }) => putMove(writer, src, dst),
  pushVlan: (writer, { ethType = ETH_TYPE_VLAN }) =>
    putSmall(writer, OFPAT.pushVlan, checked(ethType, 16, "Ethernet type") * 0x10000),
  popVlan: (writer) => putSmall(writer, OFPAT.popVlan, 0),
  decTtl: (writer) => putSmall(writer, OFPAT.decNwTtl, 0),
  group: (writer, { group }) => putSmall(writer, OFPAT.group, checked(group, 32, "group")),
  meter: (writer, { meter }) => putSmall(writer, OFPAT.meter, checked(meter, 32, "meter")),
  setQueue: (writer, { queue }) => putSmall(writer, OFPAT.setQueue, checked(queue, 32, "queue")),
  resubmit: (writer, { table, inPort }) => putResubmit(writer, table ?? THIS_TABLE, inPort ?? "in_port"),
  ct: (writer, action) => putCt(writer, action, putActions),
  ctClear: (writer) => putNicira(writer, NXAST.ctClear, () => {}),
  checkPktLarger: putCheckPktLarger,
  conjunction: putConjunction,
  controller: putController,
  note: (writer, { data }) => putNicira(writer, NXAST.note, () => putBytes(writer, data)),
  sample: putSample,
  clone: (writer, { actions }) => putNicira(writer, NXAST.clone, () => putClone(writer, actions)),
  learn: putLearn,
  push: (writer, { bits }) => putStack(writer, NXAST.stackPush, bits),
  pop: (writer, { bits }) => putStack(writer, NXAST.stackPop, bits),
  raw: (writer, { bytes }) => putBytes(writer, bytes),
};

/** Writes actions one after the other, as they stand in instructions, buckets and packet-outs. */
export function putActions(writer: Writer, actions: readonly Action[]): void {
  for (const action of actions) {
    const put = ENCODERS[action.kind] as (writer: Writer, action: Action) => void;
    put(writer, action);
  }
}

function putNicira(writer: Writer, subtype: number, putRest: () => void): void {
  const start = startNicira(writer, subtype);
  putRest();
  endAction(writer, start);
}

/** struct ext_action_header has six bytes of padding before the nested actions. */
function putClone(writer: Writer, actions: readonly Action[]): void {
  putZeros(writer, 6);
  putActions(writer, actions);
}

/** A standard action of 8 bytes with one argument of at most 32 bits. */
function putSmall(writer: Writer, type: number, argument: number): void {
  putU16(writer, type);
  putU16(writer, 8);
  putU32(writer, argument);
}

/** openflow-1.1.h, struct ofp11_action_output. */
function putOutput(writer: Writer, port: Port, maxLenBytes: number | undefined): void {
  const start = startAction(writer, OFPAT.output);
  putU32(writer, portNumber(port));
  putU16(writer, checked(maxLenBytes ?? (port === "controller" ? WHOLE_PACKET : 0), 16, "output max_len"));
  endAction(writer, start);
}

/** ofp-actions.c, struct nx_action_output_reg. */
function putOutputField(writer: Writer, src: Bits, maxLenBytes: number): void {
  const bits = resolveBits(src);
  const start = startNicira(writer, NXAST.outputReg);
  putU16(writer, packBits(bits));
  putU32(writer, nxmHeader(bits.spec));
  putU16(writer, checked(maxLenBytes, 16, "output max_len"));
  endAction(writer, start);
}

/** openflow-1.2.h, struct ofp12_action_set_field, in OpenFlow 1.5 with a mask. */
function putSetField(writer: Writer, action: Extract<Action, { kind: "setField" }>): void {
  const spec = fieldByName(action.field);
  if (spec === undefined) throw new NetError("INVALID", `Cannot set field "${action.field}": there is no such field`);
  refuseReadOnly(spec);
  const hasMask = action.mask !== undefined;
  const start = startAction(writer, OFPAT.setField);
  const isAny = putOxm(writer, spec, {
    value: plainRaw(spec, action.value, hasMask),
    mask: hasMask ? plainRaw(spec, action.mask, true) : undefined,
  });
  if (!isAny) throw new NetError("INVALID", `Cannot set field ${action.field}: its mask is zero`);
  endAction(writer, start);
}

/** openflow-1.5.h, struct ofp15_action_copy_field. */
function putMove(writer: Writer, from: Bits, to: Bits): void {
  const src = resolveBits(from);
  const dst = resolveBits(to);
  if (src.bitCount !== dst.bitCount) {
    throw new NetError(
      "INVALID",
      `Cannot move ${src.bitCount} bits of ${from.field} to ${dst.bitCount} of ${to.field}`,
    );
  }
  refuseReadOnly(dst.spec);
  const start = startAction(writer, OFPAT.copyField);
  putU16(writer, src.bitCount);
  putU16(writer, src.startBit);
  putU16(writer, dst.startBit);
  putZeros(writer, 2);
  putU32(writer, oxmHeader(src.spec));
  putU32(writer, oxmHeader(dst.spec));
  endAction(writer, start);
}

/** ofp-actions.c, encode_RESUBMIT: the short form when only the port is given. */
function putResubmit(writer: Writer, table: number, inPort: Port): void {
  const port = portNumber(inPort);
  if (port >= 0xff00 && port < 0xffffff00) {
    throw new NetError("INVALID", `Cannot resubmit with port ${port}: 65279 is the highest`, { field: "inPort" });
  }
  const port16 = port & 0xffff;
  const isShort = table === THIS_TABLE && port16 !== IN_PORT_16;
  const start = startNicira(writer, isShort ? NXAST.resubmit : NXAST.resubmitTable);
  putU16(writer, port16);
  if (!isShort) putU8(writer, checked(table, 8, "resubmit table"));
  endAction(writer, start);
}

/** ofp-actions.c, struct nx_action_conjunction: clauses count from 0 on the wire, from 1 in ovs-ofctl and here. */
function putConjunction(writer: Writer, action: Extract<Action, { kind: "conjunction" }>): void {
  const start = startNicira(writer, NXAST.conjunction);
  putU8(writer, checked(action.clause - 1, 8, "conjunction clause index"));
  putU8(writer, checked(action.clauseCount, 8, "conjunction clause count"));
  putU32(writer, checked(action.id, 32, "conjunction id"));
  endAction(writer, start);
}

/** ofp-actions.c, struct nx_action_check_pkt_larger. */
function putCheckPktLarger(writer: Writer, action: Extract<Action, { kind: "checkPktLarger" }>): void {
  const bits = resolveBits(action.dst);
  if (bits.bitCount !== 1) throw new NetError("INVALID", `Cannot encode check_pkt_larger: it sets one bit`);
  refuseReadOnly(bits.spec);
  const start = startNicira(writer, NXAST.checkPktLarger);
  putU16(writer, checked(action.lengthBytes, 16, "packet length"));
  putU16(writer, bits.startBit);
  putU32(writer, nxmHeader(bits.spec));
  endAction(writer, start);
}

/** nicira-ext.h, struct nx_action_sample. */
function putSample(writer: Writer, action: Extract<Action, { kind: "sample" }>): void {
  const start = startNicira(writer, NXAST.sample);
  putU16(writer, checked(action.probability, 16, "sample probability"));
  putU32(writer, checked(action.collectorSet, 32, "sample collector set"));
  putU32(writer, checked(action.observationDomain, 32, "sample observation domain"));
  putU32(writer, checked(action.observationPoint, 32, "sample observation point"));
  endAction(writer, start);
}

/** ofp-actions.c, struct nx_action_stack. */
function putStack(writer: Writer, subtype: number, place: Bits): void {
  const bits = resolveBits(place);
  const start = startNicira(writer, subtype);
  putU16(writer, bits.startBit);
  putU32(writer, nxmHeader(bits.spec));
  putU16(writer, bits.bitCount);
  endAction(writer, start);
}
