import { NetError } from "../../state/errors.ts";

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** Six bytes of `02:00:00:00:00:01`. */
export function macToBytes(mac: string): Buffer {
  if (!MAC.test(mac)) throw new NetError("INVALID", `"${mac}" is not a MAC address`);
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

/** Lower-case hexadecimal with colons, of any length. */
export function bytesToMac(address: Uint8Array): string {
  return [...address].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
