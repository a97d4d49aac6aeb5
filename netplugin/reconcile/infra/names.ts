import { createHash } from "node:crypto";
import type { NetworkRecord } from "../../../state/kinds/network.ts";

/** Device names hold at most 15 bytes (IFNAMSIZ less the final zero, linux/if.h). */
const DEVICE_NAME_MAX_BYTES = 15;
const HASH_PREFIX = "ci-";
const HASH_LENGTH = 10;

/** Beginnings of the names that we give to other devices and ports (drivers/ovs). */
const OWN_PREFIXES = ["contiv-", "cu-", "cpi-", "cpu-", "cvh", "cvp", HASH_PREFIX];

/** The network's name where a device can have it and nobody else does; otherwise one made of a hash of the network's key. */
export function infraDeviceName({ key, config }: NetworkRecord, isTaken: (name: string) => boolean): string {
  const plain = config.networkName;
  const fits = Buffer.byteLength(plain) <= DEVICE_NAME_MAX_BYTES;
  const isOurs = OWN_PREFIXES.some((prefix) => plain.startsWith(prefix));
  if (fits && !isOurs && !isTaken(plain)) return plain;
  return HASH_PREFIX + createHash("sha256").update(key).digest("hex").slice(0, HASH_LENGTH);
}
