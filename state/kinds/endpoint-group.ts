import { z } from "zod";
import { CEILING_MEMBERS } from "../bandwidth/ceiling.ts";
import { GroupId } from "../ids.ts";
import { ConfiguredTag, Name } from "../names.ts";
import { parsePool } from "../network-subnet.ts";
import { checkedText } from "../text-check.ts";

/** What the admin says of an endpoint group (contract §6.3); the ceilings are this release's own. */
export const EndpointGroup = z.object({
  groupName: Name.describe("Name of the endpoint group, unique in its tenant."),
  tenantName: Name.describe("Tenant that it belongs to."),
  networkName: Name.describe("Network of its endpoints, of the same tenant."),
  ipPool: checkedText(64, (text) => text === "" || parsePool(text))
    .default("")
    .describe('IPv4 addresses of the network that its endpoints get, like "10.1.1.10-10.1.1.20"; empty: any.'),
  policies: z
    .array(Name)
    .max(1_000)
    .default([])
    .describe(
      "Names of its policies, of the same tenant; a name that stands twice is kept once. Without any, all traffic of its endpoints is allowed.",
    ),
  netProfile: z
    .string()
    .max(64)
    .default("")
    .describe("Name of the netprofile that limits each of its endpoints, of the same tenant; empty: none."),
  extContractsGrps: z
    .array(Name)
    .max(1_000)
    .default([])
    .describe("Names of external contract groups; this release has none, so it must be empty."),
  cfgdTag: ConfiguredTag.describe("Tag shown by inspect; empty: groupName.tenantName."),
  ...CEILING_MEMBERS,
});
export type EndpointGroup = z.infer<typeof EndpointGroup>;

/** What the store keeps of an endpoint group. */
export const EndpointGroupRecord = z.object({ key: z.string(), groupId: GroupId, config: EndpointGroup });
export type EndpointGroupRecord = Readonly<z.infer<typeof EndpointGroupRecord>>;
