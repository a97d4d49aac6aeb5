import { applyBatch } from "../../netplugin/view/apply.ts";
import type { ViewMessage } from "../../netplugin/view/messages.ts";
import { emptyView, type NodeView } from "../../netplugin/view/node-view.ts";
import { GLOBAL_DEFAULTS } from "../../state/kinds/global.ts";
import type { NodeName } from "../../state/names.ts";
import type { Kind, RecordOf } from "../../state/records.ts";
import { endpointRecords, groupRecords, networkRecords, type PolicyObjects, ruleRecord } from "./policy-world.ts";
import { worldMessages } from "./world.ts";

/** Tunnel addresses of the nodes; n3 holds no endpoint of any policy world. */
export const VTEPS: Readonly<Record<string, string>> = { n1: "192.0.2.1", n2: "192.0.2.2", n3: "192.0.2.3" };

/** The objects as a node has them in its view. `homes` says which node an endpoint lives on (n1 when it says nothing). */
export function policyView(objects: PolicyObjects, homes: Readonly<Record<string, string>> = {}): NodeView {
  return applyBatch(emptyView(), [...policyMessages(objects, homes), { type: "synced", revision: 1_000_000n }]).view;
}

export function policyMessages(objects: PolicyObjects, homes: Readonly<Record<string, string>> = {}): ViewMessage[] {
  const fwdMode = objects.isRouting ? "routing" : "bridge";
  const policies = new Set(
    objects.groups.flatMap(({ key, policies: names = [] }) => names.map((name) => `${tenantOf(key)}:${name}`)),
  );
  const nodes = worldMessages(
    Object.entries(VTEPS)
      .map((entry) => `node ${entry.join(" ")}`)
      .join("\n"),
  );
  return [
    ...nodes,
    put("global", { key: "global", config: { ...GLOBAL_DEFAULTS, fwdMode } }),
    ...networkRecords(objects).map((record) => put("network", record)),
    ...groupRecords(objects).map((record) => put("endpointGroup", record)),
    ...[...policies].map((key) =>
      put("policy", { key, config: { tenantName: tenantOf(key), policyName: key.slice(tenantOf(key).length + 1) } }),
    ),
    ...objects.rules.map((rule) => put("rule", ruleRecord(rule))),
    ...endpointRecords(objects).map((record) =>
      put("endpoint", { ...record, nodeName: (homes[record.key] ?? "n1") as NodeName }),
    ),
  ];
}

function tenantOf(key: string): string {
  return key.split(":")[0] ?? "";
}

function put<K extends Kind>(kind: K, record: RecordOf<K>): ViewMessage {
  return { type: "put", kind, key: record.key, modRevision: 1n, record };
}
