import { z } from "zod";
import { CEILING_MEMBERS } from "../bandwidth/ceiling.ts";
import { GroupId } from "../ids.ts";
import { ConfiguredTag, Name } from "../names.ts";
import { parsePool } from "../network-subnet.ts";
import { checkedText } from "../text-check.ts";

/** What the admin says of an endpoint group (contract §6.3); the ceilings are this release's own. */
export const EndpointGroup = z.object({
  groupName: Name,
  tenantName: Name,
  networkName: Name,
  ipPool: checkedText(64, (text) => text === "" || parsePool(text)).default(""),
  policies: z.array(Name).max(1_000).default([]),
  netProfile: z.string().max(64).default(""),
  extContractsGrps: z.array(Name).max(1_000).default([]),
  cfgdTag: ConfiguredTag,
  ...CEILING_MEMBERS,
});
export type EndpointGroup = z.infer<typeof EndpointGroup>;

/** What the store keeps of an endpoint group. */
export const EndpointGroupRecord = z.object({ key: z.string(), groupId: GroupId, config: EndpointGroup });
export type EndpointGroupRecord = Readonly<z.infer<typeof EndpointGroupRecord>>;
