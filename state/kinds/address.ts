import { z } from "zod";
import { NetworkId } from "../ids.ts";
import { Name, OptionalName } from "../names.ts";

/**
 * An address handed out by the v1 call allocAddress and not (yet) part of an endpoint.
 * Key: `<tenant>:<network>:<address>`; never parsed back.
 */
export const AddressRecord = z.object({
  key: z.string(),
  networkId: NetworkId,
  tenantName: Name,
  networkName: Name,
  groupName: OptionalName,
  ip: z.union([z.ipv4(), z.ipv6()]),
  createdAt: z.string(),
});
export type AddressRecord = Readonly<z.infer<typeof AddressRecord>>;
