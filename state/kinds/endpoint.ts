import { z } from "zod";
import { StatedLimits } from "../bandwidth/limits.ts";
import { DriverName } from "../driver-name.ts";
import { Epoch, GroupId, Mac, NetworkId } from "../ids.ts";
import { Name, NodeName, OptionalName } from "../names.ts";

/**
 * One attachment of a container to a network: a lease on its addresses, owned by `nodeName` until the release of this `epoch`.
 * Key: `<containerId>:<ifName>` for CNI (`<containerId>@<node>:<ifName>` where another node has that one),
 * `<tenant>:<network>:<endpointID>` for the v1 plugin calls; never parsed back.
 */
export const EndpointRecord = z.object({
  key: z.string(),
  epoch: Epoch,
  endpointId: z.string(),
  containerId: z.string(),
  ifName: z.string(),
  nodeName: NodeName,
  tenantName: Name,
  networkName: Name,
  groupName: OptionalName,
  networkId: NetworkId,
  groupId: GroupId.optional(),
  ipv4: z.ipv4(),
  ipv6: z.ipv6().optional(),
  mac: Mac,
  podName: z.string().default(""),
  podNamespace: z.string().default(""),
  labels: z.record(z.string(), z.string()).default({}),
  /** Limits stated for this endpoint alone; those of its group are in the group's netprofile. */
  limits: StatedLimits.optional(),
  /** That of its network when it was leased; absent: ovs. */
  driver: DriverName.optional(),
  createdAt: z.string(),
});
export type EndpointRecord = Readonly<z.infer<typeof EndpointRecord>>;
