import { NetError } from "./errors.ts";

/** Outer Ethernet 14 + IPv4 20 + UDP 8 + VXLAN 8 (RFC 7348 §5), in bytes. */
const VXLAN_OVER_IPV4_BYTES = 50;
/** The same with an IPv6 header of 40. */
const VXLAN_OVER_IPV6_BYTES = 70;

export interface MtuInput {
  readonly encap: "vlan" | "vxlan";
  /** MTU of the link below, in bytes. A VLAN tag does not count against it (IEEE 802.3ac). */
  readonly underlayMtuBytes: number;
  /** The node's tunnel address; undefined: it has none. */
  readonly vtepIp: string | undefined;
  /** What the admin asked for; 0 = as large as the underlay carries. */
  readonly configuredMtuBytes: number;
}

/**
 * MTU of a pod's interface, in bytes: what the underlay carries less the tunnel's headers, or the smaller configured value.
 * @throws NetError INVALID when the underlay carries less than asked, UNAVAILABLE when the node has no tunnel address yet
 */
export function podMtuBytes(input: MtuInput): number {
  const overheadBytes = input.encap === "vlan" ? 0 : vxlanOverheadBytes(input.vtepIp);
  const largestBytes = input.underlayMtuBytes - overheadBytes;
  if (input.configuredMtuBytes > largestBytes) {
    throw new NetError(
      "INVALID",
      `MTU ${input.configuredMtuBytes} does not fit: the underlay carries ${input.underlayMtuBytes} bytes, ${largestBytes} inside ${input.encap}`,
      { field: "mtuBytes" },
    );
  }
  return input.configuredMtuBytes === 0 ? largestBytes : input.configuredMtuBytes;
}

function vxlanOverheadBytes(vtepIp: string | undefined): number {
  if (vtepIp === undefined) {
    const message =
      "The node has told no tunnel address yet, so its pods in VXLAN networks would reach no other node; see that Open vSwitch runs there, and try again";
    throw new NetError("UNAVAILABLE", message, { reason: "no-tunnel-address" });
  }
  return vtepIp.includes(":") ? VXLAN_OVER_IPV6_BYTES : VXLAN_OVER_IPV4_BYTES;
}
