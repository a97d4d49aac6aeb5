import { type NodeRecord, shownState } from "../../state/kinds/node.ts";
import type { ClusterView } from "../view/types.ts";
import { endpointList } from "./endpoint.ts";
import { omitEmpty, type Rendered, StreamedObject } from "./streamed.ts";

/** A node as the REST API shows it. */
export function nodeObject(node: NodeRecord): Record<string, Rendered> {
  const { key, registration, conditions } = node;
  const { state, reasons, since } = shownState(node);
  const { name, ...rest } = registration;
  const { bootId, capabilities, drivers, physicalNetworks, routerMac, underlayMtuBytes, version, vtepIp } = rest;
  return omitEmpty({
    key,
    bootId,
    capabilities,
    conditions,
    drivers,
    name,
    physicalNetworks,
    routerMac,
    state,
    stateReasons: reasons,
    stateSince: since,
    underlayMtuBytes,
    version,
    vtepIp,
  });
}

/** `Oper` of a node: its endpoints, and what it has told to have enforced. */
export function nodeOper(view: ClusterView, node: NodeRecord, receipt: Rendered): StreamedObject {
  const endpoints = view.endpointsOfNode(node.key);
  return new StreamedObject(
    omitEmpty({ endpoints: endpointList(view, endpoints), numEndpoints: endpoints.size, receipt }),
  );
}
