import { macBytes } from "../../state/address-codec.ts";
import { NetError } from "../../state/errors.ts";

/** Six bytes of `02:00:00:00:00:01`. */
export function macToBytes(mac: string): Buffer {
  const bytes = macBytes(mac);
  if (bytes === undefined) throw new NetError("INVALID", `"${mac}" is not a MAC address`);
  return bytes;
}
