import { addressOf } from "../../state/address.ts";
import { objectKey } from "../../state/keys.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { endpointOf } from "../../state/policy/endpoint-lookup.ts";
import { atOnce } from "../../state/policy/steps.ts";
import type { PolicyPacket, PolicyWorld } from "../../state/policy/world.ts";
import type { ClusterView } from "../view/types.ts";

type Holder = EndpointRecord | undefined;

/** A cluster view as the policy evaluator asks it. */
export interface ViewWorld extends PolicyWorld {
  /** Finds the holder of an address and remembers it, so that `endpointAt` need not look through the network. Yields now and then. */
  learn(network: NetworkRecord, address: string): Generator<void, Holder>;
  /** Remembers whose the endpoint's addresses are. */
  know(endpoint: EndpointRecord): void;
}

export interface WorldSources {
  readonly view: ClusterView;
  /** Store keys of objects that this release cannot read. */
  readonly unreadable: readonly string[];
}

const worlds = new WeakMap<ClusterView, ViewWorld>();

/** The same instance for the same view, so that what is computed of its rules is computed once. */
export function viewWorld(sources: WorldSources): ViewWorld {
  const known = worlds.get(sources.view);
  if (known !== undefined) return known;
  const world = makeWorld(sources);
  worlds.set(sources.view, world);
  return world;
}

function makeWorld({ view, unreadable }: WorldSources): ViewWorld {
  const holders = new Map<string, Holder>();
  const idOf = ({ networkId }: { readonly networkId: number }, address: string) => `${networkId}/${address}`;
  function* learn(network: NetworkRecord, address: string): Generator<void, Holder> {
    const id = idOf(network, address);
    if (!holders.has(id)) holders.set(id, yield* findHolder(view, network, address));
    return holders.get(id);
  }
  return {
    isRouting: view.records("global").get("global")?.config.fwdMode === "routing",
    network: (key) => view.records("network").get(key),
    networksOfTenant: (tenantName) => recordsAt(view, "network", view.networksOfTenant(tenantName)),
    group: (key) => view.records("endpointGroup").get(key),
    policyFault: (key) => policyFault(view, unreadable, key),
    rulesOfPolicy: (key) => recordsAt(view, "rule", view.rulesOfPolicy(key)),
    endpointAt: (network, address) => atOnce(learn(network, address)),
    learn,
    know: (endpoint) => {
      for (const address of [endpoint.ipv4, endpoint.ipv6]) {
        if (address !== undefined) holders.set(idOf(endpoint, address), endpoint);
      }
    },
  };
}

function* recordsAt<K extends "network" | "rule">(view: ClusterView, kind: K, keys: Iterable<string>) {
  for (const key of keys) {
    const record = view.records(kind).get(key);
    if (record !== undefined) yield record;
  }
}

/** The nodes close a group when they do not know its policy, or cannot read one of its rules. */
function policyFault(view: ClusterView, unreadable: readonly string[], policyKey: string): string | undefined {
  if (!view.records("policy").has(policyKey)) return `policy ${policyKey} is not known`;
  const rules = `${objectKey("rule", policyKey)}:`;
  return unreadable.some((storeKey) => storeKey.startsWith(rules))
    ? `a rule of policy ${policyKey} cannot be read`
    : undefined;
}

/** How many endpoints are looked at between two chances to do something else. */
const LOOKED_AT_PER_STEP = 500;

/** Looks through the network's endpoints, but only when the address is in use. */
function* findHolder(view: ClusterView, network: NetworkRecord, address: string): Generator<void, Holder> {
  const family = address.includes(":") ? 6 : 4;
  const books = view.addresses(network.networkId);
  const pool = family === 4 ? books?.ipv4 : books?.ipv6;
  if (pool === undefined || !pool.isTaken(addressOf(family, address))) return undefined;
  let lookedAt = 0;
  for (const key of view.endpointsOfNetwork(network.key)) {
    const endpoint = view.records("endpoint").get(key);
    if (endpoint?.ipv4 === address || endpoint?.ipv6 === address) return endpoint;
    lookedAt += 1;
    if (lookedAt % LOOKED_AT_PER_STEP === 0) yield;
  }
  return undefined;
}

/** Learns whom an address belongs to, wherever the evaluator will look for it. */
export function* learnHolders(
  world: ViewWorld,
  network: NetworkRecord,
  place: Pick<PolicyPacket, "family"> & { readonly address: string },
): Generator<void, Holder> {
  const asked: [NetworkRecord, string][] = [];
  const endpointAt = (where: NetworkRecord, address: string) => {
    asked.push([where, address]);
    return undefined;
  };
  endpointOf({ ...world, endpointAt }, network, place);
  for (const [where, address] of asked) yield* world.learn(where, address);
  return endpointOf(world, network, place);
}
