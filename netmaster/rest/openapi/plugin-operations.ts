import { AllocAddress, ReleaseAddress } from "../../intents/bare-address.ts";
import { PluginCreate, PluginDelete, PluginUpdate } from "../../intents/plugin-endpoint.ts";
import { jsonAnswer, jsonBody, type Operation } from "./operation.ts";
import { count, members, named, requestSchema, type Schema, text } from "./schema.ts";

const ENDPOINT_CONFIG = members(
  {
    id: text("netID-endpointID."),
    netID: text("network.tenant."),
    endpointID: text("Id of the endpoint."),
    serviceName: text("Its group; may be empty."),
    endpointGroupId: count("Number of its group; 0: none."),
    endpointGroupKey: text("group:tenant; may be empty."),
    ipAddress: text("IPv4 address."),
    ipv6Address: text("IPv6 address; may be empty."),
    macAddress: text("MAC address."),
    homingHost: text("Node that it is on."),
    intfName: text("Interface in the pod; may be empty."),
    vtepIP: text("Always empty."),
    labels: { type: ["object", "null"], additionalProperties: { type: "string" }, description: "Labels." },
    containerId: text("Id of the container; may be empty."),
    epCommonName: text("Name of the container or pod; may be empty."),
  },
  {},
  "An endpoint as version 1's runtimes see it.",
);

/** What the calls of runtimes answer with. */
export const PLUGIN_SCHEMAS: Schema = { EndpointConfig: ENDPOINT_CONFIG };

const ENDPOINT = named("EndpointConfig");
const ALLOCATED = members(
  { NetworkID: text("As in the request."), IPv4Address: text("The address, with the length of its subnet.") },
  {},
);

const PLUGIN = { tag: "plugin" } as const;

export const PLUGIN_OPERATIONS = {
  allocAddress: {
    ...{ ...PLUGIN, id: "allocAddress", summary: "Hand out an address without an endpoint" },
    description:
      "The address is taken until releaseAddress, until an endpoint with it is deleted, or until its network is deleted.",
    body: jsonBody(requestSchema(AllocAddress)),
    answer: jsonAnswer(ALLOCATED),
  },
  releaseAddress: {
    ...{ ...PLUGIN, id: "releaseAddress", summary: "Free such an address" },
    description: "An address that is free already is a success.",
    body: jsonBody(requestSchema(ReleaseAddress)),
    answer: jsonAnswer({ type: "string", const: "success" }),
  },
  createEndpoint: {
    ...{ ...PLUGIN, id: "createEndpoint", summary: "Create an endpoint, or show the one that is there" },
    description: "An address that allocAddress has handed out can be asked for.",
    body: jsonBody(requestSchema(PluginCreate)),
    answer: jsonAnswer(members({ EndpointConfig: ENDPOINT }, {})),
  },
  deleteEndpoint: {
    ...{ ...PLUGIN, id: "deleteEndpoint", summary: "Delete an endpoint; one that is gone is a success" },
    description: "Its addresses are free again.",
    body: jsonBody(requestSchema(PluginDelete)),
    answer: jsonAnswer(
      members({ EndpointConfig: { anyOf: [ENDPOINT, { type: "null" }], description: "null: it was gone." } }, {}),
    ),
  },
  updateEndpoint: {
    ...{ ...PLUGIN, id: "updateEndpoint", summary: "Note which container an endpoint belongs to" },
    description: "Sets container id, name and labels of an endpoint that exists; limits and addresses stay.",
    body: jsonBody(requestSchema(PluginUpdate)),
    answer: jsonAnswer(members({ IPAddress: text("IPv4 address of the endpoint.") }, {})),
  },
  cleanUp: {
    ...{ id: "cleanUpEndpoints", tag: "debug", summary: "Delete endpoints by force" },
    description: "For endpoints whose containers are gone. Answers with nothing.",
    answer: {},
    errors: [404],
  },
} satisfies Readonly<Record<string, Operation>>;
