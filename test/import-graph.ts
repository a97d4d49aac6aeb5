/** Who imports whom: files, or rooms of files. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** Rooms from the bottom up; those of one line do not know each other. */
export type Order = readonly (readonly string[])[];

export function graphOf(arrows: Iterable<readonly [from: string, to: string]>): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [from, to] of arrows) {
    if (!graph.has(to)) graph.set(to, new Set());
    graph.set(from, (graph.get(from) ?? new Set()).add(to));
  }
  return graph;
}

/** Sets of nodes that all reach each other, sorted; a node alone is none, unless it points at itself. */
export function circles(graph: Graph): string[][] {
  const left = new Set(graph.keys());
  const back = graphOf([...graph].flatMap(([from, targets]) => [...targets].map((to) => [to, from] as const)));
  const found: string[][] = [];
  for (const node of graph.keys()) {
    if (!left.has(node)) continue;
    const before = reach(back, node);
    const circle = [...reach(graph, node)].filter((each) => before.has(each));
    for (const each of [node, ...circle]) left.delete(each);
    if (circle.length > 0) found.push(circle.sort());
  }
  return found.sort();
}

/** Everything that can be come to from there; the node itself only along a circle. */
function reach(graph: Graph, start: string): Set<string> {
  const reached = new Set<string>();
  const open = [start];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    for (const next of graph.get(node) ?? []) {
      if (reached.has(next)) continue;
      reached.add(next);
      open.push(next);
    }
  }
  return reached;
}

/** The folder or file directly in `house` that a file is in, or is; undefined outside. */
export function roomOf(house: string, file: string): string | undefined {
  return file.startsWith(`${house}/`) ? file.slice(house.length + 1).split("/")[0] : undefined;
}

/** The graph of a house's rooms. */
export function roomGraph(house: string, files: Graph): Graph {
  const arrows: [string, string][] = [];
  for (const [from, to] of arrowsOf(files)) {
    const [above, below] = [roomOf(house, from), roomOf(house, to)];
    if (above !== undefined && below !== undefined && above !== below) arrows.push([above, below]);
  }
  return graphOf(arrows);
}

/** Imports of files, `from -> to`, that do not go down in the order of the house's rooms, and rooms that it does not know. */
export function upward(house: string, order: Order, files: Graph): string[] {
  const heights = new Map(order.flatMap((rooms, height) => rooms.map((room) => [room, height] as const)));
  const wrong = new Set<string>();
  for (const [from, to] of arrowsOf(files)) {
    const [above, below] = [roomOf(house, from), roomOf(house, to)];
    if (above === undefined || below === undefined || above === below) continue;
    const [high, low] = [heights.get(above), heights.get(below)];
    if (high === undefined) wrong.add(`${house}/${above} has no place in the order`);
    else if (low === undefined) wrong.add(`${house}/${below} has no place in the order`);
    else if (high <= low) wrong.add(`${from} -> ${to}`);
  }
  return [...wrong].sort();
}

function* arrowsOf(graph: Graph): Generator<[string, string]> {
  for (const [from, targets] of graph) for (const to of targets) yield [from, to];
}
