import { NetError } from "../../../state/errors.ts";
import type { Port, PortName } from "./values.ts";

/** openflow-1.1.h, enum ofp11_port_no; `none` is OFPP_ANY. */
const NUMBERS: Readonly<Record<PortName, number>> = {
  in_port: 0xfffffff8,
  table: 0xfffffff9,
  normal: 0xfffffffa,
  flood: 0xfffffffb,
  all: 0xfffffffc,
  controller: 0xfffffffd,
  local: 0xfffffffe,
  none: 0xffffffff,
};
const NAMES: ReadonlyMap<number, PortName> = new Map(
  Object.entries(NUMBERS).map(([name, value]) => [value, name as PortName]),
);

export function isPortName(text: string): text is PortName {
  return Object.hasOwn(NUMBERS, text);
}

export function portNumber(port: Port): number {
  if (typeof port === "string") return NUMBERS[port];
  if (!Number.isInteger(port) || port < 0 || port > 0xffffffff) {
    throw new NetError("INVALID", `Cannot encode port ${port}: it is not a whole number of 32 bits`, { field: "port" });
  }
  return port;
}

export function formatPort(value: number): Port {
  return NAMES.get(value) ?? value;
}
