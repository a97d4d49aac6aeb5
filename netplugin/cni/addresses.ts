import { isIP } from "node:net";
import { z } from "zod";
import { parsePrefix } from "../../state/address-codec.ts";
import { Mac } from "../../state/ids.ts";

/** An address with prefix length, `10.1.2.3/24`. */
export const Cidr = z
  .string()
  .max(64)
  .refine(
    (text) => parsePrefix(text)?.prefixLength !== undefined,
    "must be an address with prefix length, as 10.1.2.3/24",
  );

/** An address without prefix length. */
export const PlainIp = z
  .string()
  .max(64)
  .refine((text) => isIP(text) !== 0, "must be an IPv4 or IPv6 address");

/** An address as it may be asked for, with or without prefix length. */
export const IpRequest = z
  .string()
  .max(64)
  .transform((text, context) => {
    const ip = parsePrefix(text.trim());
    if (ip === undefined) context.addIssue("must be an IPv4 or IPv6 address, as 10.1.2.3 or 10.1.2.3/24");
    return ip ?? z.NEVER;
  });

/** A unicast MAC address in any case, brought to lower case. IEEE 802: the lowest bit of the first octet marks a group. */
export const UnicastMac = z
  .string()
  .transform((text) => text.toLowerCase().replaceAll("-", ":"))
  .pipe(Mac)
  .refine(
    (mac) => mac !== "00:00:00:00:00:00" && Number.parseInt(mac.slice(0, 2), 16) % 2 === 0,
    "must be a unicast MAC",
  );
