import { randomUUID } from "node:crypto";
import type { z } from "zod";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { Rendered } from "../inspect/streamed.ts";
import { AllocAddress, allocateAddress, ReleaseAddress, releaseAddress } from "../intents/bare-address.ts";
import { cleanUpEndpoints } from "../intents/cleanup.ts";
import {
  createPluginEndpoint,
  deletePluginEndpoint,
  PluginCreate,
  PluginDelete,
  PluginUpdate,
  updatePluginEndpoint,
} from "../intents/plugin-endpoint.ts";
import { parseRequest } from "../intents/request.ts";
import type { Intent } from "../view/types.ts";
import { audit } from "./audit.ts";
import { type Answer, type Call, type Handler, json, type Route } from "./call.ts";
import type { Operation } from "./openapi/operation.ts";
import { PLUGIN_OPERATIONS } from "./openapi/plugin-operations.ts";
import { revisionHeaders } from "./read.ts";
import { untilShown } from "./write.ts";

interface PluginSpec<S extends z.ZodObject, Reply> {
  readonly path: string;
  readonly operation: Operation;
  readonly schema: S;
  readonly intent: Intent<z.infer<S>, Reply>;
  readonly render: (reply: Reply) => Rendered;
}

function pluginRoute<S extends z.ZodObject, Reply>(spec: PluginSpec<S, Reply>): Route {
  const { path, operation, schema, intent, render } = spec;
  const handle: Handler = async (call) => {
    const request = parseRequest(schema, call.body());
    const object = `${path}#${auditName(request)}`;
    const { reply, revision } = await audit(call, object, () => call.services.submit(intent, request, call));
    return json(render(reply), revisionHeaders(await untilShown(call, revision), revision));
  };
  return { method: "POST", path, handle, operation, isWrite: true, needsJson: true };
}

/** What of a request tells the object. */
function auditName(request: Readonly<Record<string, unknown>>): string {
  const names = [
    "TenantName",
    "NetworkName",
    "Tenant",
    "Network",
    "EndpointID",
    "NetworkID",
    "AddressPool",
    "IPv4Address",
  ];
  return names
    .flatMap((name) => (typeof request[name] === "string" && request[name] !== "" ? request[name] : []))
    .join(":");
}

/** `EndpointConfig` of contract §8: every member is present, whether or not it is empty. */
function endpointConfig(endpoint: EndpointRecord): object {
  const { tenantName, networkName, groupName, endpointId, labels } = endpoint;
  const netID = `${networkName}.${tenantName}`;
  return {
    id: `${netID}-${endpointId}`,
    netID,
    endpointID: endpointId,
    serviceName: groupName,
    endpointGroupId: endpoint.groupId ?? 0,
    endpointGroupKey: groupName === "" ? "" : `${groupName}:${tenantName}`,
    ipAddress: endpoint.ipv4,
    ipv6Address: endpoint.ipv6 ?? "",
    macAddress: endpoint.mac,
    homingHost: endpoint.nodeName,
    intfName: endpoint.ifName,
    vtepIP: "",
    labels: Object.keys(labels).length === 0 ? null : labels,
    containerId: endpoint.containerId,
    epCommonName: endpoint.podName,
  };
}

/** The calls of v1 container runtimes. */
export const PLUGIN_ROUTES: readonly Route[] = [
  pluginRoute({
    path: "/plugin/allocAddress",
    operation: PLUGIN_OPERATIONS.allocAddress,
    schema: AllocAddress,
    intent: allocateAddress,
    render: (reply) => reply,
  }),
  pluginRoute({
    path: "/plugin/releaseAddress",
    operation: PLUGIN_OPERATIONS.releaseAddress,
    schema: ReleaseAddress,
    intent: releaseAddress,
    render: (reply) => reply,
  }),
  pluginRoute({
    path: "/plugin/createEndpoint",
    operation: PLUGIN_OPERATIONS.createEndpoint,
    schema: PluginCreate,
    intent: createPluginEndpoint,
    render: (endpoint) => ({ EndpointConfig: endpointConfig(endpoint) }),
  }),
  pluginRoute({
    path: "/plugin/deleteEndpoint",
    operation: PLUGIN_OPERATIONS.deleteEndpoint,
    schema: PluginDelete,
    intent: deletePluginEndpoint,
    render: (endpoint) => ({ EndpointConfig: endpoint === undefined ? null : endpointConfig(endpoint) }),
  }),
  pluginRoute({
    path: "/plugin/updateEndpoint",
    operation: PLUGIN_OPERATIONS.updateEndpoint,
    schema: PluginUpdate,
    intent: updatePluginEndpoint,
    render: (reply) => reply,
  }),
  {
    method: "DELETE",
    path: "/debug/epcleanup/tenant/:tenantName/:what/:id",
    handle: cleanUp,
    operation: PLUGIN_OPERATIONS.cleanUp,
    isWrite: true,
  },
];

/** Forced clean-up, in as many steps as it takes; answers with nothing, as v1 does. */
async function cleanUp(call: Call): Promise<Answer> {
  const { tenantName = "", what = "", id = "" } = call.params;
  const cleanup = { tenantName, what, id };
  const object = `epcleanup/${tenantName}/${what}/${id}#${randomUUID().slice(0, 8)}`;
  let step = { remaining: 1, revision: 0n };
  while (step.remaining > 0) {
    const { reply, revision } = await audit(call, object, () => call.services.submit(cleanUpEndpoints, cleanup, call));
    step = { remaining: reply.remaining, revision };
  }
  await untilShown(call, step.revision);
  return { is: "text", text: "", contentType: "application/json" };
}
