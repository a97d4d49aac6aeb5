import { isInfraEndpoint } from "../../state/infra.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { type Attachment, INFRA_ROLE } from "../machine/attachment.ts";
import type { NodeView } from "../view/node-view.ts";
import { endpointsOfNode, recordOf } from "../view/query.ts";

export interface LeaseInput {
  readonly view: NodeView;
  readonly nodeName: string;
  readonly attachments: ReadonlyMap<string, Attachment>;
  /** Endpoint keys with an ADD under way. */
  readonly pending: ReadonlySet<string>;
}

/** What store and machine disagree about. */
export interface LeaseDifferences {
  /** The store homes them here and nothing is plugged in: an ADD that died, a reboot, a DEL while netmaster was away. */
  readonly orphans: readonly EndpointRecord[];
  /** Plugged in, and the store knows of no such lease: reclaimed while this node was away. */
  readonly unleased: readonly Attachment[];
  /** As many are plugged in without lease while an ADD of theirs is under way. */
  readonly underWayCount: number;
}

const NONE: LeaseDifferences = { orphans: [], unleased: [], underWayCount: 0 };

/** Compares leases with ports of pods. Before the first complete view nothing is known, so nothing differs. */
export function compareLeases({ view, nodeName, attachments, pending }: LeaseInput): LeaseDifferences {
  if (!view.complete) return NONE;
  const orphans = [...endpointsOfNode(view, nodeName)].filter(
    (endpoint) => isRuntimes(endpoint) && !attachments.has(endpoint.key) && !pending.has(endpoint.key),
  );
  const all = [...attachments.values()].filter(
    ({ role, endpointKey, epoch }) => role !== INFRA_ROLE && recordOf(view, "endpoint", endpointKey)?.epoch !== epoch,
  );
  const unleased = all.filter(({ endpointKey }) => !pending.has(endpointKey));
  return { orphans, unleased, underWayCount: all.length - unleased.length };
}

/**
 * Endpoints made by the v1 plugin calls have no interface that this node would know of; whoever made them ends them. The node's own
 * in infra networks come and go with those (netplugin/reconcile/infra).
 */
function isRuntimes(endpoint: EndpointRecord): boolean {
  return endpoint.ifName !== "" && !isInfraEndpoint(endpoint);
}
