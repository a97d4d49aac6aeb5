import { describe, expect, it } from "vitest";
import type { NetError } from "../../../state/errors.ts";
import type { PodEnd } from "../../pod-interface.ts";
import type { ReadyPort } from "../types.ts";
import { createPortRecycler } from "./port-recycler.ts";

/** A pool with so much room, and a log of what happens to ports and namespaces. */
function world(room: number) {
  const log: string[] = [];
  const errors: NetError[] = [];
  const pool = {
    hasRoom: (comingBack: number) => comingBack < room,
    clean: async (name: string): Promise<ReadyPort> => {
      log.push(`clean ${name}`);
      return { name, ifIndex: 1, peerIfIndex: 2, mtuBytes: 1500, ofport: 3 };
    },
    giveBack: ({ name }: ReadyPort) => void log.push(`back ${name}`),
  };
  const recycler = createPortRecycler({
    pool,
    close: (name) => log.push(`close ${name}`),
    onClean: (name) => log.push(`free ${name}`),
    report: (error) => errors.push(error),
    deletePodEnd: async ({ ifindex }) => {
      if (ifindex === GONE) throw new Error("No such device");
      log.push(`delete ${ifindex}`);
    },
  });
  return { recycler, log, errors };
}

const GONE = 404;

function podEnd(ifindex: number, log: string[]): PodEnd {
  const dispose = () => void log.push(`leave ${ifindex}`);
  return { ifindex, netns: { path: "/run/netns/x", fd: 9, inode: 1, device: 1, [Symbol.dispose]: dispose } };
}

describe("port recycler", () => {
  it("deletes the pod's interface, marks the port, and lets others have it, in this order", async () => {
    const { recycler, log } = world(4);
    recycler.recycle("a", podEnd(7, log));
    await recycler.idle();
    expect(log).toEqual(["delete 7", "clean a", "free a", "back a", "leave 7"]);
  });

  it("closes a port whose interface is not where it was: it may hang on the port from elsewhere", async () => {
    const { recycler, log, errors } = world(4);
    recycler.recycle("a", podEnd(GONE, log));
    await recycler.idle();
    expect(log).toEqual(["close a", `leave ${GONE}`]);
    expect(errors[0]?.message).toContain('use port "a" again');
  });

  it("closes what the pool has no room for, those on their way counted", async () => {
    const { recycler, log } = world(2);
    for (const [index, name] of ["a", "b", "c"].entries()) recycler.recycle(name, podEnd(index, log));
    expect(log).toContain("close c");
    expect(log).toContain("leave 2");
    await recycler.idle();
    expect(log.filter((line) => line.startsWith("back"))).toEqual(["back a", "back b"]);
  });
});
