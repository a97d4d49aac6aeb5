import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SwitchPort } from "../../../drivers/ovs/types.ts";
import type { EndpointReply } from "../../../state/node-api.ts";
import { worldMessages } from "../../../test/fakes/world.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import { leaseMark } from "../../machine/lease-mark.ts";
import type { PutMessage } from "../../view/messages.ts";
import { recordOf } from "../../view/query.ts";
import { createViewHolder, type ViewHolder } from "../../view/view-holder.ts";
import { KnownLeases } from "./known-leases.ts";

const NETWORK = "network t:a vxlan 1 10.1.1.0/24";
const MINE = "endpoint p t:a n1 10.1.1.1 epoch a";
const MINE_TOO = "endpoint q t:a n1 10.1.1.2 epoch b";
const THEIRS = "endpoint r t:a n2 10.1.1.3 epoch c";

interface World {
  readonly holder: ViewHolder;
  readonly ports: Map<string, SwitchPort>;
  readonly known: KnownLeases;
}

function world(): World {
  const holder = createViewHolder();
  const ports = new Map<string, SwitchPort>();
  return {
    holder,
    ports,
    known: new KnownLeases({ nodeName: "n1", holder, marksOf: (name) => ports.get(name)?.externalIds ?? {} }),
  };
}

function puts(lines: readonly string[], revision: bigint): readonly PutMessage[] {
  return worldMessages([NETWORK, ...lines].join("\n")).flatMap((message) =>
    message.type === "put" ? [{ ...message, modRevision: revision }] : [],
  );
}

/** A stream with its whole list. */
function list(holder: ViewHolder, epoch: string | undefined, revision: bigint, ...lines: readonly string[]): void {
  holder.beginStream(epoch);
  holder.applyMessages([...puts(lines, revision), { type: "synced", revision }]);
}

function attachment(endpointKey: string, epoch: string): Attachment {
  const names = { portName: `port-${endpointKey}`, containerId: endpointKey, ifName: "eth0", configName: "" };
  return { endpointKey, epoch, role: POD_ROLE, ofport: 1, netnsPath: "", ...names };
}

function reply(line: string, revision: bigint, storeEpoch?: string): EndpointReply {
  const all = puts([line], revision);
  return {
    endpoint: all.at(-1)?.record as EndpointReply["endpoint"],
    ipv4: { address: "10.1.1.1/24" },
    routes: [],
    mtuBytes: 1450,
    revision: String(revision),
    ...(storeEpoch === undefined ? {} : { storeEpoch }),
    objects: all.map(({ type, kind, key, modRevision, record }) => {
      return { type, kind, key, modRevision: String(modRevision), object: record };
    }),
  };
}

/** A port as ADD has marked it. */
function markPort({ ports }: World, key: string, marks: Record<string, string>): void {
  ports.set(`port-${key}`, { externalIds: marks } as unknown as SwitchPort);
}

describe("the leases that a node knows", () => {
  it("are those of its own pods, from the list, from the stream and from replies, with the store's epoch", () => {
    const { holder, known } = world();
    list(holder, "1-a", 10n, MINE, THEIRS);
    holder.applyMessages([...puts([MINE_TOO], 11n), { type: "bookmark", revision: 11n }]);
    holder.applyReply(reply("endpoint s t:a n1 10.1.1.4 epoch d", 12n, "1-a"));
    for (const [key, epoch] of [
      ["p", "a"],
      ["q", "b"],
      ["s", "d"],
    ] as const)
      expect(known.of(attachment(key, epoch))).toMatchObject({ storeEpoch: "1-a", endpoint: { key, epoch } });
    expect(known.of(attachment("r", "c"))).toBeUndefined();
    expect(known.of(attachment("p", "other"))).toBeUndefined();
  });

  it("stay known when a store of another epoch lacks them, and have that epoch where it has them", () => {
    const { holder, known } = world();
    list(holder, "1-a", 1000n, MINE, MINE_TOO);
    list(holder, "2-b", 5n, MINE);
    expect(recordOf(holder.view(), "endpoint", "q")).toBeUndefined();
    expect(known.of(attachment("q", "b"))).toMatchObject({ storeEpoch: "1-a", endpoint: { ipv4: "10.1.1.2" } });
    expect(known.of(attachment("p", "a"))).toMatchObject({ storeEpoch: "2-b" });
  });

  it("have the epoch of the list that is coming in, though it is never complete", () => {
    const { holder, known } = world();
    list(holder, "1-a", 10n, THEIRS);
    holder.beginStream("2-b");
    holder.applyMessages(puts([MINE], 5n));
    holder.applyReply(reply(MINE_TOO, 6n, "2-b"));
    expect(holder.view().epoch).toBe("1-a");
    for (const [key, epoch] of [
      ["p", "a"],
      ["q", "b"],
    ] as const)
      expect(known.of(attachment(key, epoch))).toMatchObject({ storeEpoch: "2-b" });
  });

  it("are read from the port's mark where this process has not seen them, and of that lease only", () => {
    const made = world();
    list(made.holder, "3-c", 5n);
    markPort(made, "p", leaseMark(reply(MINE, 10n, "1-a"), 1400));
    const given = { ipv4: { address: "10.1.1.1/24" }, mtuBytes: 1400 };
    const endpoint = { ipv4: "10.1.1.1" };
    expect(made.known.of(attachment("p", "a"))).toMatchObject({ storeEpoch: "1-a", endpoint, given });
    expect(made.known.of(attachment("p", "later"))).toBeUndefined();
    list(made.holder, "3-c", 6n, MINE);
    expect(made.known.of(attachment("p", "a"))).toMatchObject({ storeEpoch: "3-c", given });
  });

  it("are not taken from marks that are damaged, of another release, or absent", () => {
    const made = world();
    const good = leaseMark(reply(MINE, 10n, "1-a"), 1400);
    const [[name = "", text = ""] = []] = Object.entries(good);
    for (const wrong of ["", "{", "null", "[]", '"x"', text.slice(0, -1), text.replace('"ipv4"', '"ipv5"')]) {
      markPort(made, "p", { [name]: wrong });
      expect([wrong, made.known.of(attachment("p", "a"))]).toEqual([wrong, undefined]);
    }
    markPort(made, "p", leaseMark(reply(MINE, 10n), 1400));
    expect(made.known.of(attachment("p", "a"))).toBeUndefined();
  });

  it("are forgotten when nobody wants them any more", () => {
    const { holder, known } = world();
    list(holder, "1-a", 10n, MINE, MINE_TOO);
    known.keep((key) => key === "p");
    expect([known.of(attachment("p", "a")) !== undefined, known.of(attachment("q", "b"))]).toEqual([true, undefined]);
  });

  it("are, after any history of lists, the last that the store has shown, with the epoch in which it did", () => {
    const step = fc.record({
      isRestored: fc.boolean(),
      leases: fc.uniqueArray(fc.record({ index: fc.nat(4), life: fc.nat(2) }), { selector: ({ index }) => index }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const { holder, known } = world();
        const wanted = new Map<number, readonly [string, string]>();
        let [epoch, revision] = [0, 0n];
        for (const { isRestored, leases } of steps) {
          if (isRestored) [epoch, revision] = [epoch + 1, 0n];
          revision += 10n;
          const lines = leases.map(
            ({ index, life }) => `endpoint e${index} t:a n1 10.1.1.${index + 1} epoch l${index}-${life}`,
          );
          list(holder, `${epoch}-x`, revision, ...lines);
          for (const { index, life } of leases) wanted.set(index, [`l${index}-${life}`, `${epoch}-x`]);
          for (const [index, [life, storeEpoch]] of wanted)
            expect(known.of(attachment(`e${index}`, life))?.storeEpoch).toBe(storeEpoch);
        }
      }),
    );
  });
});
