import { createHash } from "node:crypto";

/** The bridge that carries every network of a node. */
export const INTEGRATION_BRIDGE = "contiv-int";

/** The flow-keyed VXLAN port of the integration bridge. */
export const TUNNEL_PORT = "contiv-vxlan";

/** What names the NIC of an uplink bridge in its external_ids. */
export const NIC_KEY = "contiv-nic";

/** Device names hold at most 15 bytes (IFNAMSIZ less the final zero, linux/if.h). */
const DEVICE_NAME_MAX_BYTES = 15;
const HASH_LENGTH = 8;

/** `<prefix><name>`, or with a hash in place of a name that would be too long: never over 15 bytes, never the same for two names. */
export function deviceName(prefix: string, name: string): string {
  const plain = `${prefix}${name}`;
  if (Buffer.byteLength(plain) <= DEVICE_NAME_MAX_BYTES) return plain;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_LENGTH);
  return `${prefix}${hash}`;
}

/** The bridge that a NIC is plugged into. */
export function uplinkBridgeName(nic: string): string {
  return deviceName("cu-", nic);
}

/** The patch ports between an uplink bridge and the integration bridge; OVS-only names, no device is made. */
export function patchNames(nic: string): { readonly onIntegration: string; readonly onUplink: string } {
  return { onIntegration: deviceName("cpi-", nic), onUplink: deviceName("cpu-", nic) };
}
