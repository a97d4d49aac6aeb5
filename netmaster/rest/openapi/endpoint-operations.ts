import { jsonAnswer, type Operation } from "./operation.ts";
import { count, members, named, text } from "./schema.ts";

const MEASURED = members(
  {
    overSeconds: { type: "number", description: "Seconds over which rates are means." },
    podIngress: named("DirectionTraffic", "What the pod received."),
    podEgress: named("DirectionTraffic", "What it sent."),
  },
  {
    droppedNewConnections: count("Connections refused because the pod began too many per second."),
    droppedNeighbourMessages: count("ARP and neighbour discovery dropped because the pod sent too many per second."),
  },
  "What the node has measured lately.",
);

const BANDWIDTH = members(
  { key: text("Key of the endpoint."), homingHost: text("Node that it is on."), limits: named("EndpointLimits") },
  {
    measured: MEASURED,
    notMeasured: text("Why there are no numbers."),
    complaint: text("What is not in force as asked for."),
  },
);

export const BANDWIDTH_OPERATION: Operation = {
  id: "getEndpointBandwidth",
  tag: "endpoints",
  summary: "Show limits and measured rates of one endpoint",
  description: "Limits with their sources, and what its node has measured over the last 10 seconds.",
  answer: jsonAnswer(BANDWIDTH),
  headers: ["contiv-revision"],
  errors: [409],
};
