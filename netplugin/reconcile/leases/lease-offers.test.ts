import fc from "fast-check";
import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { type ErrorCode, NetError } from "../../../state/errors.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { EndpointOffer, EndpointReply, GivenInterface } from "../../../state/node-api.ts";
import { worldView } from "../../../test/fakes/world.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import type { KnownLease } from "../../machine/lease-mark.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import { LeaseOffers } from "./lease-offers.ts";

const KEYS = ["p", "q", "r", "s"];
const LEASES = worldView(
  ["network t:a vxlan 1 10.1.1.0/24", ...KEYS.map((key, index) => `endpoint ${key} t:a n1 10.1.1.${index + 1}`)].join(
    "\n",
  ),
);
const EMPTY = worldView("");

/** What netmaster does with an offer: takes it, or refuses with a code and a reason. */
type Refusal = readonly [code: ErrorCode, reason?: string | undefined];
type Verdict = "taken" | Refusal;

let view: NodeView;
let leases: Map<string, KnownLease>;
let verdicts: Map<string, Verdict>;
let offered: string[];
let applied: string[];
let givens: GivenInterface[];
let logged: Record<string, unknown>[];
let offers: LeaseOffers;
let onOffer: () => void;

beforeEach(() => {
  view = { ...EMPTY, epoch: "2-b" };
  [leases, verdicts, offered, applied, givens, logged] = [new Map(), new Map(), [], [], [], []];
  onOffer = () => undefined;
  offers = new LeaseOffers({
    holder: { view: () => view, applyReply: ({ endpoint }) => void applied.push(endpoint.key) },
    client: { offerEndpoint },
    known: { of: ({ endpointKey }) => leases.get(endpointKey) },
    log: pino({}, { write: (line: string) => void logged.push(JSON.parse(line)) }),
  });
});

async function offerEndpoint({ endpoint, given }: EndpointOffer): Promise<EndpointReply> {
  offered.push(endpoint.key);
  if (given !== undefined) givens.push(given);
  onOffer();
  const verdict = verdicts.get(endpoint.key) ?? "taken";
  if (verdict === "taken") return { endpoint } as EndpointReply;
  const [code, reason] = verdict;
  throw new NetError(code, `no: ${reason}`, reason === undefined ? {} : { reason });
}

function attachment(endpointKey: string): Attachment {
  const names = { portName: `port-${endpointKey}`, containerId: endpointKey, ifName: "eth0", configName: "" };
  return { endpointKey, epoch: "x", role: POD_ROLE, ofport: 1, netnsPath: "", ...names };
}

function knows(key: string, storeEpoch = "1-a"): void {
  leases.set(key, { storeEpoch, endpoint: recordOf(LEASES, "endpoint", key) as EndpointRecord });
}

/** The keys of those whose leases have ended on purpose. */
async function settle(keys: readonly string[], underWayCount = 0): Promise<readonly string[]> {
  const open = { unleased: keys.map(attachment), underWayCount };
  const ended = await offers.settle(open, AbortSignal.timeout(10_000));
  return ended.map(({ endpointKey }) => endpointKey);
}

function toldRefusals(): readonly unknown[] {
  return logged.filter(({ level }) => level === 50).map(({ endpoint }) => endpoint);
}

describe("pods that the store has no lease for", () => {
  it("have lost it on purpose when the store had it in this epoch, or names no epoch; nothing is offered", async () => {
    knows("p", "2-b");
    expect(await settle(["p"])).toEqual(["p"]);
    view = { ...EMPTY, epoch: undefined };
    knows("q");
    expect(await settle(["p", "q"])).toEqual(["p", "q"]);
    expect([offered, offers.settledEpoch, offers.conditions()]).toEqual([[], "2-b", []]);
  });

  it("are offered when it is of another epoch; what is taken comes into the view and is told once, with its number", async () => {
    for (const key of ["p", "q"]) knows(key);
    verdicts.set("q", ["UNAVAILABLE"]);
    expect([offers.isOpen, await settle(["p", "q"])]).toEqual([true, []]);
    expect([offered, applied]).toEqual([["p", "q"], ["p"]]);
    expect(logged).toMatchObject([{ count: 1 }]);
    await settle(["q"]);
    expect(logged).toHaveLength(1);
  });

  it.each<{ readonly verdict: Refusal }>([
    { verdict: ["UNAVAILABLE"] },
    { verdict: ["TIMEOUT"] },
    { verdict: ["CLOSED"] },
    { verdict: ["PRECONDITION", "node-not-registered"] },
  ])(
    "are neither ended nor refused while netmaster cannot say ($verdict), and the epoch is not settled before it has",
    async ({ verdict }) => {
      knows("p");
      verdicts.set("p", verdict);
      expect(await settle(["p"])).toEqual([]);
      expect([offers.settledEpoch, offers.isOpen, offers.conditions()]).toEqual([undefined, true, []]);
      verdicts.delete("p");
      await settle(["p"]);
      expect([offers.settledEpoch, offers.isOpen, offered]).toEqual(["2-b", false, ["p", "p"]]);
    },
  );

  it.each<{ readonly verdict: Refusal }>([
    { verdict: ["CONFLICT", "address-taken"] },
    { verdict: ["INVALID", "unknown-reference"] },
    { verdict: ["PRECONDITION"] },
    { verdict: ["FORBIDDEN"] },
    { verdict: ["INTERNAL"] },
  ])(
    "are told when they are refused ($verdict), once, offered again, and forgotten when taken or gone",
    async ({ verdict }) => {
      knows("p");
      verdicts.set("p", verdict);
      for (let round = 0; round < 3; round += 1) expect(await settle(["p"])).toEqual([]);
      expect([offered, toldRefusals(), offers.settledEpoch]).toEqual([["p", "p", "p"], ["p"], "2-b"]);
      expect(offers.conditions()).toMatchObject([
        {
          type: "leases",
          status: "failed",
          message: expect.stringMatching(/^1 pods are closed: .*p with 10\.1\.1\.1 in t:a: no: /),
        },
      ]);
      verdicts.delete("p");
      await settle(["p"]);
      expect(offers.conditions()).toEqual([]);
      verdicts.set("p", verdict);
      await settle(["p"]);
      expect([toldRefusals(), offers.conditions().length]).toEqual([["p", "p"], 1]);
      await settle([]);
      expect(offers.conditions()).toEqual([]);
    },
  );

  it("are offered with what the pod was given, where that is known", async () => {
    for (const key of ["p", "q"]) knows(key);
    const given = { ipv4: { address: "10.1.1.1/24", gateway: "10.1.1.254" }, mtuBytes: 1450 };
    const lease = leases.get("p");
    if (lease !== undefined) leases.set("p", { ...lease, given });
    await settle(["p", "q"]);
    expect([offered, givens]).toEqual([["p", "q"], [given]]);
  });

  it("are refused here, without asking, when nothing is known of their lease", async () => {
    expect(await settle(["p"])).toEqual([]);
    expect([offered, toldRefusals(), offers.settledEpoch]).toEqual([[], ["p"], "2-b"]);
    expect(offers.conditions()[0]?.message).toMatch(/first is p: what was leased to it is not known/);
  });

  it("do not settle an epoch while an ADD is under way, nor one that has passed meanwhile", async () => {
    await settle([], 1);
    expect(offers.settledEpoch).toBeUndefined();
    knows("p");
    onOffer = () => {
      view = { ...EMPTY, epoch: "3-c" };
    };
    await settle(["p"]);
    expect([offers.settledEpoch, offers.isOpen]).toEqual([undefined, true]);
    await settle([]);
    expect([offers.settledEpoch, offers.isOpen]).toEqual(["3-c", false]);
  });

  it("are all left as they were when the node ends in between", async () => {
    const stop = new AbortController();
    for (const key of ["p", "q"]) knows(key);
    verdicts.set("p", ["CLOSED"]);
    onOffer = () => stop.abort(new Error("ends"));
    const open = { unleased: ["p", "q"].map(attachment), underWayCount: 0 };
    await expect(offers.settle(open, stop.signal)).rejects.toThrow("ends");
    expect([offered, offers.settledEpoch, offers.conditions()]).toEqual([["p"], undefined, []]);
  });

  it("one after another never stands in the way of the others", async () => {
    for (const key of KEYS) knows(key);
    verdicts.set("p", ["INTERNAL"]).set("q", ["UNAVAILABLE"]).set("r", ["CONFLICT", "address-taken"]);
    await settle(KEYS);
    expect([offered, applied, offers.conditions()[0]?.message]).toEqual([
      KEYS,
      ["s"],
      expect.stringMatching(/^2 pods/),
    ]);
  });
});

describe("any rounds of offers, in whatever order things happen", () => {
  const verdict = fc.constantFrom<Verdict>("taken", ["UNAVAILABLE"], ["CONFLICT", "address-taken"], ["INTERNAL"]);
  const pod = fc.record({ lease: fc.constantFrom("none", "1-a", "2-b", "3-c"), verdict, isUnleased: fc.boolean() });
  const round = fc.record({
    epoch: fc.constantFrom("2-b", "3-c"),
    pods: fc.array(pod, { minLength: KEYS.length, maxLength: KEYS.length }),
    underWayCount: fc.nat(1),
  });

  it("end what this epoch has ended, offer all else that is known once each, tell the refused, and settle when all have answers", async () => {
    await fc.assert(
      fc
        .asyncProperty(fc.array(round, { maxLength: 8 }), async (rounds) => {
          let settled: string | undefined;
          for (const { epoch, pods, underWayCount } of rounds) {
            view = { ...EMPTY, epoch };
            [leases, verdicts, offered] = [new Map(), new Map(), []];
            const open = KEYS.flatMap((key, index) => (pods[index]?.isUnleased ? [{ key, ...pods[index] }] : []));
            for (const { key, lease, verdict: said } of open) {
              if (lease !== "none") knows(key, lease);
              verdicts.set(key, said as Verdict);
            }
            const ended = await settle(
              open.map(({ key }) => key),
              underWayCount,
            );
            const living = open.filter(({ lease }) => lease !== epoch);
            expect(ended).toEqual(open.filter(({ lease }) => lease === epoch).map(({ key }) => key));
            expect(offered).toEqual(living.filter(({ lease }) => lease !== "none").map(({ key }) => key));
            const asked = living.filter(({ lease }) => lease !== "none");
            const isUnanswered = ({ verdict: said }: { verdict?: Verdict }) => said?.[0] === "UNAVAILABLE";
            const refused =
              living.length -
              asked.length +
              asked.filter((each) => each.verdict !== "taken" && !isUnanswered(each)).length;
            expect(offers.conditions()).toHaveLength(refused > 0 ? 1 : 0);
            if (refused > 0) expect(offers.conditions()[0]?.message).toMatch(new RegExp(`^${refused} pods`));
            if (underWayCount === 0 && !asked.some(isUnanswered)) settled = epoch;
            expect(offers.settledEpoch).toBe(settled);
          }
        })
        .beforeEach(() => {
          offers = new LeaseOffers({
            holder: { view: () => view, applyReply: () => undefined },
            client: { offerEndpoint },
            known: { of: ({ endpointKey }) => leases.get(endpointKey) },
            log: pino({ level: "silent" }),
          });
        }),
    );
  });
});
