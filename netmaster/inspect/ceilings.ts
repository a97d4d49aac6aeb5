import { type CeilingConfig, type CeilingKind, ceilingsIn } from "../../state/bandwidth/ceiling.ts";
import type { PodLimits, RateLimit } from "../../state/bandwidth/limits.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NodeReports } from "../node-reports/reports.ts";
import { groupKeyOf, networkKeyOf } from "../view/indexes.ts";
import type { ClusterView } from "../view/types.ts";
import { omitEmpty, type Rendered } from "./streamed.ts";

/** A group or a tenant. */
interface Ceilinged {
  readonly key: string;
  readonly config: CeilingConfig;
}

/** The ceilings of a group or tenant, and what each node that has pods of it tells of them. Undefined when there are none. */
export function inspectedCeilings(
  { key, config }: Ceilinged,
  nodes: Iterable<string>,
  reports: Pick<NodeReports, "ceiling">,
): Rendered {
  const limits = limitMembers(ceilingsIn(config));
  if (limits === undefined) return undefined;
  return { ...limits, nodes: [...nodes].sort().map((node) => nodeMembers(node, reports.ceiling(node, key))) };
}

function nodeMembers(node: string, report: ReturnType<NodeReports["ceiling"]>): Rendered {
  if (report === undefined) return { node, notMeasured: `node ${node} has told nothing of it lately` };
  const { overMs, podIngress, podEgress, complaint } = report;
  return omitEmpty({ node, overSeconds: overMs / 1_000, podIngress, podEgress, complaint });
}

/** The ceilings that an endpoint shares with others, with whom they are shared. */
export function ceilingsOver(view: ClusterView, endpoint: EndpointRecord): readonly Rendered[] {
  const networkType = view.records("network").get(networkKeyOf(endpoint))?.config.nwType;
  if (networkType === "infra") return [];
  const groupKey = groupKeyOf(endpoint);
  const group = groupKey === undefined ? undefined : view.records("endpointGroup").get(groupKey);
  const tenant = view.records("tenant").get(endpoint.tenantName);
  return [...shared("endpointGroup", group), ...shared("tenant", tenant)];
}

function shared(kind: CeilingKind, over: Ceilinged | undefined): readonly Rendered[] {
  const limits = over && limitMembers(ceilingsIn(over.config));
  return limits === undefined ? [] : [{ kind, key: over?.key, ...limits }];
}

function limitMembers({ podIngress, podEgress }: PodLimits): Record<string, Rendered> | undefined {
  if (podIngress === undefined && podEgress === undefined) return undefined;
  return omitEmpty({ podEgress: podEgress && members(podEgress), podIngress: podIngress && members(podIngress) });
}

function members({ rateBitPerSecond, burstBits }: RateLimit): Rendered {
  return omitEmpty({ burstBits, rateBitPerSecond });
}
