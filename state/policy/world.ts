import type { AddressFamily } from "../address.ts";
import type { EndpointRecord } from "../kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../kinds/endpoint-group.ts";
import type { NetworkRecord } from "../kinds/network.ts";
import type { RuleRecord } from "../kinds/rule.ts";

/**
 * What the meaning of policies depends on, at one moment: netmaster's and netplugin's views both serve it through an adapter. An
 * instance never changes; what is computed from it is remembered for as long as the instance lives.
 */
export interface PolicyWorld {
  /** Networks of one tenant are joined by the distributed gateway. */
  readonly isRouting: boolean;
  network(networkKey: string): NetworkRecord | undefined;
  networksOfTenant(tenantName: string): Iterable<NetworkRecord>;
  group(groupKey: string): EndpointGroupRecord | undefined;
  /** Why the policy cannot be enforced as it stands (it is not known, or one of its rules cannot be read); undefined = it can. */
  policyFault(policyKey: string): string | undefined;
  /** In any order. */
  rulesOfPolicy(policyKey: string): Iterable<RuleRecord>;
  /** The endpoint that holds an address within a network; the text is canonical. */
  endpointAt(network: NetworkRecord, address: string): EndpointRecord | undefined;
}

/** A packet in the original direction of its connection. Replies and related ICMP pass with the connection. */
export interface PolicyPacket {
  /** The network in which it travels; of a routed packet, that of either end. */
  readonly networkKey: string;
  readonly family: AddressFamily;
  /** Addresses in canonical text. */
  readonly source: string;
  readonly destination: string;
  /** Of a packet to many (broadcast, multicast): the endpoint that hears it. `destination` when absent. */
  readonly receiver?: string;
  /** IP protocol number. */
  readonly protocol: number;
  /** TCP and UDP: destination port. */
  readonly port?: number;
  /** ICMP and ICMPv6: message type. */
  readonly icmpType?: number;
  /** A fragment that is not the first: it shows neither port nor message type, and in IPv6 no protocol. First ones are like whole packets. */
  readonly isLaterFragment?: boolean;
}
