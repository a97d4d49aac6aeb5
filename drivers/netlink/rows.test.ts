import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { readAddress } from "./address.ts";
import { readClass } from "./class.ts";
import { readFeatures } from "./ethtool.ts";
import { readFilter } from "./filter.ts";
import { readLink } from "./link-row.ts";
import { readNeighbour } from "./neighbour.ts";
import { readQdisc } from "./qdisc.ts";
import { ANSWERS, REQUESTS } from "./recorded.ts";
import { readRoute } from "./route.ts";

const answer = (name: keyof typeof ANSWERS) => Buffer.from(ANSWERS[name], "hex");

describe("what the kernel answered", () => {
  it("is a link", () => {
    expect(readLink(answer("link"))).toMatchObject({
      ifindex: 2,
      name: "v0",
      mac: "02:00:00:00:00:01",
      mtuBytes: 1400,
      mtuMaxBytes: 65_535,
      up: true,
      operState: "up",
      group: 5,
      alias: "contiv:pod",
      kind: "veth",
      peerIfindex: 2,
      peerNetnsId: 0,
      masterIfindex: undefined,
      qdisc: "tbf",
      txQueues: 2,
      statistics: { rxPackets: 0n, txPackets: 1n, txBytes: 110n, txDropped: 0n },
    });
  });

  it("is addresses", () => {
    const common = { ifindex: 2, permanent: true, tentative: false, duplicate: false };
    expect(readAddress(answer("address4"))).toMatchObject({
      ...common,
      address: "10.1.0.2",
      prefixLengthBits: 24,
      broadcast: "10.1.0.255",
      label: "v0",
      scope: 0,
    });
    expect(readAddress(answer("address6"))).toMatchObject({
      ...common,
      address: "2001:db8::2",
      skipsDuplicateDetection: true,
    });
    expect(readAddress(answer("addressLinkLocal"))).toMatchObject({ tentative: true, scope: 253 });
  });

  it("is routes", () => {
    expect(readRoute(answer("routeDefault"))).toMatchObject({
      destination: "0.0.0.0/0",
      gateway: "10.1.0.1",
      ifindex: 2,
      table: 254,
      nextHops: [],
    });
    expect(readRoute(answer("routeDirect"))).toMatchObject({
      destination: "10.1.0.0/24",
      source: "10.1.0.2",
      scope: 253,
    });
    expect(readRoute(answer("routeTwoWays"))).toMatchObject({
      destination: "10.9.0.0/16",
      metric: 7,
      mtuBytes: 1300,
      source: "10.1.0.2",
      gateway: undefined,
      nextHops: [
        { gateway: "10.1.0.1", ifindex: 2 },
        { gateway: "10.1.0.3", ifindex: 2 },
      ],
    });
  });

  it("is a neighbour and a tbf of 50 Gbit/s", () => {
    expect(readNeighbour(answer("neighbour"))).toMatchObject({ address: "10.1.0.9", state: "permanent" });
    expect(readQdisc(answer("tbf"))).toMatchObject({
      ifindex: 2,
      kind: "tbf",
      tbf: { rateBytesPerSecond: 6_250_000_000, limitBytes: 200_000_000 },
      statistics: { sentBytes: 0n, droppedPackets: 0, backlogBytes: 0 },
    });
  });
});

const decoders = { readLink, readAddress, readRoute, readNeighbour, readQdisc, readClass, readFilter, readFeatures };
const samples = [...Object.values(ANSWERS), ...Object.values(REQUESTS)].map((hex) => Buffer.from(hex, "hex"));

function decodesOrRefuses(decode: (body: Buffer) => unknown, body: Buffer): void {
  try {
    decode(body);
  } catch (error) {
    if (!(error instanceof NetError && error.code === "PROTOCOL")) throw error;
  }
}

describe.each(Object.entries(decoders))("%s", (_name, decode) => {
  it("gives a row or PROTOCOL for random bytes", () => {
    const bodies = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(bodies, (body) => decodesOrRefuses(decode, Buffer.from(body))),
      { numRuns: 1_000 },
    );
  });

  it("gives a row or PROTOCOL for damaged messages", () => {
    const damage = fc.record({
      sample: fc.constantFrom(...samples),
      edits: fc.array(fc.tuple(fc.nat(1_000), fc.nat(255)), { maxLength: 4 }),
      keep: fc.nat(1_000),
    });
    fc.assert(
      fc.property(damage, ({ sample, edits, keep }) => {
        const body = Buffer.from(sample.subarray(0, keep));
        for (const [at, value] of edits) if (at < body.length) body[at] = value;
        decodesOrRefuses(decode, body);
      }),
      { numRuns: 3_000 },
    );
  });

  it("refuses an empty body", () => {
    expect(() => decode(Buffer.alloc(0))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});
