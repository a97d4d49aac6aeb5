import { run } from "../../deploy/cluster/exec.ts";
import { ifbNameOf } from "../../drivers/tc/ifb.ts";
import type { EgressMechanism } from "../../netplugin/desired/limits/mechanism.ts";
import { eventually } from "../system/test-cluster.ts";
import type { LimitWorld } from "./limit-world.ts";
import { vsctl } from "./switch.ts";

export interface RepairContext {
  /** Run directory of the switch. */
  readonly directory: string;
  readonly mechanism: EgressMechanism | undefined;
}

/** Something that an admin can take away, and how to see that it is there. */
interface Deed {
  readonly name: string;
  take(): Promise<unknown>;
  readonly look: readonly string[];
  readonly sign: RegExp;
}

/** Events are noticed at once; the machine may be a slow guest. */
const TIMEOUT_MS = 20_000;

/** Takes everything of a port's limits away, one after the other, and waits for each to come back. Names what was repaired. */
export async function takeAwayAll(world: LimitWorld, context: RepairContext): Promise<readonly string[]> {
  const repaired: string[] = [];
  for (const { name, take, look, sign } of deedsOf(world, context)) {
    const before = world.repairs();
    await take();
    const isBack = async () => world.repairs() > before && sign.test((await run(look, { allowFailure: true })).stdout);
    await eventually(name, isBack, (answer) => answer, TIMEOUT_MS);
    repaired.push(name);
  }
  return repaired;
}

function deedsOf({ portName, means }: LimitWorld, { directory, mechanism }: RepairContext): readonly Deed[] {
  const tc = (...words: string[]) => ["tc", ...words, "dev", portName];
  const filters = [...tc("filter", "show"), "ingress"];
  const root: Deed = {
    ...{ name: "tc qdisc del root", look: tc("qdisc", "show"), sign: /tbf/ },
    take: () => run([...tc("qdisc", "del"), "root"]),
  };
  const hook = (sign: RegExp): Deed => ({
    ...{ name: "tc qdisc del ingress", look: filters, sign },
    take: () => run([...tc("qdisc", "del"), "ingress"]),
  });
  const told: Deed = {
    ...{ name: "ovs-vsctl set ingress_policing_rate=0", look: filters, sign: /police/ },
    take: () => vsctl(directory, "set", "interface", portName, "ingress_policing_rate=0"),
  };
  const ifb: Deed = {
    ...{ name: "ip link del ifb", look: filters, sign: /mirred/ },
    take: () => run(["ip", "link", "del", ifbNameOf(portName)]),
  };
  const outward = { police: [told, hook(/police/)], "ifb-tbf": [hook(/mirred/), ifb], meter: [], "panel-tbf": [] };
  return [...(means.tbf ? [root] : []), ...(mechanism === undefined ? [] : outward[mechanism])];
}
