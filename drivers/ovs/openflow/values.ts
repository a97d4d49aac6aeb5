/** OpenFlow table, 0 to 253 (254 and 255 are the switch's own). */
export type TableId = number;

/** Some bits of a field: those set in `mask` must equal those of `value`. */
export interface Masked<V> {
  readonly value: V;
  readonly mask: V;
}

export type Maskable<V> = V | Masked<V>;

/** Names the switch gives to port numbers above 0xffffff00 (openflow-1.1.h, enum ofp11_port_no). */
export type PortName = "in_port" | "table" | "normal" | "flood" | "all" | "controller" | "local" | "none";

/** An OpenFlow port: its number, or a reserved name. */
export type Port = number | PortName;

/** `02:02:0a:00:00:01`, or with a mask `01:00:00:00:00:00/01:00:00:00:00:00`. */
export type Mac = string;

/** `10.1.0.5`, `10.1.0.0/16` or `10.0.0.1/255.0.0.255`. */
export type Ipv4 = string;

/** `fd00::5`, `fd00::/8` or `::5/::ffff`. */
export type Ipv6 = string;

/** VLAN id 0 to 4095; `none` = no tag; `any` = some tag; masked: the 13 bits of OXM_OF_VLAN_VID, 0x1000 = "has a tag". */
export type VlanMatch = Maskable<number> | "none" | "any";

/** Fragments, in the words of ovs-fields(7). */
export type IpFrag = "no" | "yes" | "first" | "later" | "not_later";
