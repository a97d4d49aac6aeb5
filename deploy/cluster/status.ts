import { type ClusterOptions, layoutOf } from "./cluster.ts";
import { type ClusterLayout, etcdName, netmasterName, netpluginName, ovsdbName, vswitchdName } from "./components.ts";
import { daemonPid } from "./daemon.ts";
import { listPods } from "./pods.ts";
import { restClient } from "./rest-client.ts";

interface NodeRow {
  readonly name?: string;
  readonly state?: string;
}

interface EndpointRow {
  readonly containerID?: string;
  readonly ipAddress?: readonly string[];
  readonly network?: string;
  readonly serviceName?: string;
}

/** Prints what runs, what netmaster thinks of the nodes, and the pods with their addresses. */
export async function printStatus(options: ClusterOptions): Promise<void> {
  const layout = layoutOf(options);
  printProcesses(layout, options.nodes);
  const rest = restClient(`http://127.0.0.1:${options.restPort}`);
  try {
    printNodes(await rest.get<NodeRow[]>("/api/v1/nodes/"));
    printPods(layout, await rest.get<EndpointRow[]>("/api/v1/endpoints/"));
  } catch (error) {
    process.stdout.write(`\nnetmaster does not answer: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

function printProcesses(layout: ClusterLayout, nodes: number): void {
  const names = [etcdName(1), netmasterName(1)];
  for (let node = 1; node <= nodes; node++) names.push(ovsdbName(node), vswitchdName(node), netpluginName(node));
  const rows = names.map((name) => {
    const pid = daemonPid(layout.home, name);
    return [name, pid === undefined ? "DOWN" : "up", pid === undefined ? "" : String(pid)];
  });
  if (rows.some((row) => row[1] === "DOWN")) process.exitCode = 1;
  printTable(["process", "state", "pid"], rows);
}

function printNodes(nodes: readonly NodeRow[]): void {
  printTable(
    ["node", "state"],
    nodes.map((node) => [node.name ?? "", node.state ?? ""]),
  );
}

function printPods(layout: ClusterLayout, endpoints: readonly EndpointRow[]): void {
  const rows = listPods(layout).map((pod) => {
    const endpoint = endpoints.find((each) => each.containerID === pod.containerId);
    const addresses = (endpoint?.ipAddress ?? ["not attached"]).filter((address) => address !== "").join(" ");
    return [pod.name, `n${pod.node}`, endpoint?.network ?? "", endpoint?.serviceName ?? "", addresses];
  });
  printTable(["pod", "node", "network", "group", "addresses"], rows);
}

function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  process.stdout.write(`${lines.join("\n")}\n\n`);
}
