import { type AddressFamily, parseAddress } from "../../state/address.ts";
import { driverOf } from "../../state/driver-name.ts";
import { endpointAddressing, endpointMtuBytes } from "../../state/endpoint-addressing.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { GivenInterface } from "../../state/node-api.ts";
import type { ClusterView } from "../view/types.ts";
import { conflict } from "./errors.ts";
import { requireNetwork, scopedKey } from "./references.ts";

type Addressing = GivenInterface["ipv4"];

/** Refuses an endpoint whose pod is attached by another driver than its network's: no node could connect it with the others. */
export function refuseOtherDriver(endpoint: EndpointRecord, { key, config }: NetworkRecord): void {
  if (driverOf(endpoint) === driverOf(config)) return;
  const message = `endpoint.driver: the pod is attached by "${driverOf(endpoint)}", and network ${key} has driver "${driverOf(config)}"; attach the pod anew`;
  throw conflict("network-changed", message, "endpoint.driver");
}

/**
 * Refuses an endpoint whose pod got its interface from a network of the same name that was another: with another prefix or gateway it would miss
 * its neighbours or the way out, with a larger MTU lose its large packets. Tags and encapsulation alone do no harm: all nodes follow them.
 */
export function refuseMisfit(view: ClusterView, endpoint: EndpointRecord, given: GivenInterface | undefined): void {
  const node = view.records("node").get(endpoint.nodeName);
  if (given === undefined || node === undefined) return;
  const network = requireNetwork(view, scopedKey(endpoint.tenantName, endpoint.networkName));
  const now = endpointAddressing(endpoint, network);
  const mtuBytes = endpointMtuBytes(network, node.registration);
  const refuse = (given: string, wanted: string) => {
    const message = `endpoint.networkName: network ${network.key} is not the one that the pod was attached to: its interface has ${given}, and would have ${wanted} now`;
    return conflict("network-changed", message, "endpoint.networkName");
  };
  if (!isSame(4, given.ipv4, now.ipv4)) throw refuse(textOf(given.ipv4), textOf(now.ipv4));
  if (!isSame(6, given.ipv6, now.ipv6)) throw refuse(textOf(given.ipv6), textOf(now.ipv6));
  if (given.mtuBytes > mtuBytes) throw refuse(`an MTU of ${given.mtuBytes} bytes`, `one of ${mtuBytes} bytes`);
}

/** Addresses may be written in more than one form. */
function isSame(family: AddressFamily, given: Addressing | undefined, now: Addressing | undefined): boolean {
  if (given === undefined || now === undefined) return given === now;
  const read = (text = "") => {
    const [address = "", prefixLength] = text.split("/");
    return `${parseAddress(family, address)}/${prefixLength}`;
  };
  return read(given.address) === read(now.address) && read(given.gateway) === read(now.gateway);
}

function textOf(addressing: Addressing | undefined): string {
  if (addressing === undefined) return "no IPv6 address";
  return `${addressing.address} with ${addressing.gateway === undefined ? "no gateway" : `gateway ${addressing.gateway}`}`;
}
