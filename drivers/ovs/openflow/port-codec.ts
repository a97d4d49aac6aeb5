import { macNumber, macText } from "../../../state/address-codec.ts";
import {
  getBytes,
  getDurationMs,
  getU16,
  getU32,
  getU64,
  nested,
  protocolError,
  putU32,
  putU48,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";
import type { PortClosing, PortDescription, PortStats } from "./port.ts";
import { formatPort, portNumber } from "./port-number.ts";
import { getProperty } from "./property.ts";
import type { Port } from "./values.ts";

/** openflow-1.4.h, OFPPDPT14_ETHERNET. */
const ETHERNET_PROPERTY = 0;
/** openflow-common.h, OFPPC_PORT_DOWN and OFPPS_LINK_DOWN. */
const PORT_DOWN = 1;
const LINK_DOWN = 1;
/** openflow-common.h, OFPPC_NO_RECV, OFPPC_NO_FWD and OFPPC_NO_PACKET_IN. */
const CLOSINGS: Readonly<Record<PortClosing, number>> = {
  "no-receive": 1 << 2,
  "no-forward": 1 << 5,
  "no-packet-in": 1 << 6,
};
/** A counter the port does not keep. */
const NO_COUNTER = 0xffff_ffff_ffff_ffffn;

/** Port to ask about; all when absent (openflow-1.5.h, struct ofp15_port_desc_request; openflow-1.1.h for statistics). */
export function putPortRequest(writer: Writer, port: Port | undefined): void {
  putU32(writer, portNumber(port ?? "none"));
  putZeros(writer, 4);
}

/** One entry of a port description reply (openflow-1.4.h, struct ofp14_port). */
export function getPortDescription(reader: Reader): PortDescription {
  const port = formatPort(getU32(reader));
  const length = getU16(reader);
  if (length < 40) throw protocolError(`port entry of length ${length}`);
  const entry = nested(reader, length - 6);
  skip(entry, 2);
  const mac = macText(getBytes(entry, 6));
  skip(entry, 2);
  const name = getBytes(entry, 16).toString("utf8").replace(/\0.*$/s, "");
  const config = getU32(entry);
  const state = getU32(entry);
  return {
    port,
    name,
    mac,
    isDown: (config & PORT_DOWN) !== 0,
    isLinkDown: (state & LINK_DOWN) !== 0,
    speedKbps: getSpeedKbps(entry),
    closed: Object.entries(CLOSINGS).flatMap(([name, bit]) => ((config & bit) === 0 ? [] : [name as PortClosing])),
  };
}

/** Takes back what was closed of a port (openflow-1.4.h, struct ofp14_port_mod); the switch wants its hardware address, too. */
export function putPortOpening(writer: Writer, { port, mac }: Pick<PortDescription, "port" | "mac">): void {
  putU32(writer, portNumber(port));
  putZeros(writer, 4);
  putU48(writer, macNumber(mac) ?? 0); // the switch refuses what is not the port's
  putZeros(writer, 2);
  putU32(writer, 0);
  putU32(
    writer,
    Object.values(CLOSINGS).reduce((bits, bit) => bits | bit),
  );
}

/** openflow-1.4.h, struct ofp14_port_desc_prop_ethernet: current speed after four sets of features. */
function getSpeedKbps(entry: Reader): number {
  while (remaining(entry) >= 4) {
    const { type, value } = getProperty(entry);
    if (type !== ETHERNET_PROPERTY) continue;
    skip(value, 20);
    return getU32(value);
  }
  return 0;
}

/** One entry of a port statistics reply (openflow-1.4.h, struct ofp14_port_stats). */
export function getPortStats(reader: Reader): PortStats {
  const length = getU16(reader);
  if (length < 80) throw protocolError(`port counters of length ${length}`);
  const entry = nested(reader, length - 2);
  skip(entry, 2);
  const port = formatPort(getU32(entry));
  const durationMs = getDurationMs(entry);
  return {
    port,
    durationMs,
    rxPackets: getCounter(entry),
    txPackets: getCounter(entry),
    rxBytes: getCounter(entry),
    txBytes: getCounter(entry),
    rxDropped: getCounter(entry),
    txDropped: getCounter(entry),
    rxErrors: getCounter(entry),
    txErrors: getCounter(entry),
  };
}

function getCounter(reader: Reader): bigint | undefined {
  const value = getU64(reader);
  return value === NO_COUNTER ? undefined : value;
}
