import type { DatapathType } from "../../drivers/ovs/base.ts";
import type { Neighbour } from "../../drivers/pod-interface.ts";
import type { NodeView } from "../view/node-view.ts";
import { settingsOf } from "../view/query.ts";
import { GATEWAY_MAC } from "./pipeline/pipeline.ts";

export interface Surroundings {
  readonly datapathType: DatapathType;
  readonly view: () => NodeView;
}

/**
 * Whom a pod must know by itself. With routing the IPv6 gateway is the node's switch, which on the kernel's datapath cannot answer
 * solicitations. The mode stays as long as there are networks, a network's gateway as long as there is the network.
 */
export function knownNeighbours({ datapathType, view }: Surroundings, ipv6Gateway = ""): readonly Neighbour[] {
  if (datapathType !== "system" || ipv6Gateway === "" || settingsOf(view()).fwdMode !== "routing") return [];
  return [{ address: ipv6Gateway, mac: GATEWAY_MAC }];
}
