import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseResult } from "./prev-result.ts";
import { type CniResult, mergeResults, NO_DNS, renderResult } from "./result.ts";
import { CNI_VERSIONS, type CniVersion } from "./versions.ts";

const HOST = { name: "cvp1", mac: "02:00:00:00:00:01", mtuBytes: 1450, sandbox: undefined };
const POD = { name: "eth0", mac: "02:02:0a:01:01:02", mtuBytes: 1450, sandbox: "/run/netns/pod" };
const RESULT: CniResult = {
  interfaces: [HOST, POD],
  ips: [
    { address: "10.1.1.2/24", gateway: "10.1.1.1", interfaceIndex: 1 },
    { address: "fd00::2/64", gateway: undefined, interfaceIndex: 1 },
  ],
  routes: [
    { destination: "0.0.0.0/0", gateway: "10.1.1.1", mtuBytes: 1400 },
    { destination: "::/0", gateway: undefined },
  ],
  dns: { nameservers: ["10.1.1.1"], domain: undefined, search: ["a.b"], options: [] },
};

const DNS = { nameservers: ["10.1.1.1"], search: ["a.b"] };
const LINKS = [
  { name: "cvp1", mac: "02:00:00:00:00:01" },
  { name: "eth0", mac: "02:02:0a:01:01:02", sandbox: "/run/netns/pod" },
];
const ROUTES = [{ dst: "0.0.0.0/0", gw: "10.1.1.1" }, { dst: "::/0" }];
const BY_FAMILY = {
  ip4: { ip: "10.1.1.2/24", gateway: "10.1.1.1", routes: [{ dst: "0.0.0.0/0", gw: "10.1.1.1" }] },
  ip6: { ip: "fd00::2/64", routes: [{ dst: "::/0" }] },
  dns: DNS,
};
const WITH_IP_VERSION = {
  interfaces: LINKS,
  ips: [
    { version: "4", address: "10.1.1.2/24", gateway: "10.1.1.1", interface: 1 },
    { version: "6", address: "fd00::2/64", interface: 1 },
  ],
  routes: ROUTES,
  dns: DNS,
};
const IPS = WITH_IP_VERSION.ips.map(({ version: _, ...ip }) => ip);

describe("renderResult", () => {
  it.each<[CniVersion, object]>([
    ["0.1.0", BY_FAMILY],
    ["0.2.0", BY_FAMILY],
    ["0.3.0", WITH_IP_VERSION],
    ["0.3.1", WITH_IP_VERSION],
    ["0.4.0", WITH_IP_VERSION],
    ["1.0.0", { interfaces: LINKS, ips: IPS, routes: ROUTES, dns: DNS }],
    [
      "1.1.0",
      {
        interfaces: LINKS.map((link) => ({ ...link, mtu: 1450 })),
        ips: IPS,
        routes: [{ ...ROUTES[0], mtu: 1400 }, ROUTES[1]],
        dns: DNS,
      },
    ],
  ])("has the shape of %s", (cniVersion, shape) => {
    expect(renderResult(RESULT, cniVersion)).toEqual({ cniVersion, ...shape });
  });

  it.each(CNI_VERSIONS)("always says dns, as libcni does (%s)", (version) => {
    const empty = { interfaces: [], ips: [], routes: [], dns: NO_DNS };
    expect(renderResult(empty, version)).toMatchObject({ cniVersion: version, dns: {} });
  });
});

describe("mergeResults", () => {
  it("appends ours and moves our indexes", () => {
    const earlier: CniResult = { ...RESULT, interfaces: [HOST], ips: [], routes: [] };
    const merged = mergeResults(earlier, { ...RESULT, dns: NO_DNS });
    expect(merged.interfaces).toEqual([HOST, HOST, POD]);
    expect(merged.ips.map((ip) => ip.interfaceIndex)).toEqual([2, 2]);
    expect(merged.dns).toEqual(RESULT.dns);
  });

  it("drops nothing of prevResult and changes nothing without one", () => {
    const nothing = { interfaces: [], ips: [], routes: [], dns: NO_DNS };
    expect(mergeResults(RESULT, nothing)).toEqual(RESULT);
    expect(mergeResults(undefined, RESULT)).toBe(RESULT);
  });
});

const ipv4Cidr = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([ip, length]) => `${ip}/${length}`);
const ipv6Cidr = fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })).map(([ip, length]) => `${ip}/${length}`);
const cidr = fc.oneof(ipv4Cidr, ipv6Cidr);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const name = fc.stringMatching(/^[a-z0-9]{1,15}$/);
const result: fc.Arbitrary<CniResult> = fc.record({
  interfaces: fc.array(
    fc.record({
      name,
      mac: maybe(fc.constant("02:02:0a:01:01:02")),
      mtuBytes: maybe(fc.integer({ min: 68, max: 9216 })),
      sandbox: maybe(name),
      socketPath: maybe(name),
      pciId: maybe(name),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  ips: fc.array(fc.record({ address: cidr, gateway: maybe(fc.ipV4()), interfaceIndex: maybe(fc.constant(0)) }), {
    maxLength: 3,
  }),
  routes: fc.array(
    fc.record({
      destination: cidr,
      gateway: maybe(fc.ipV6()),
      mtuBytes: maybe(fc.nat()),
      advmssBytes: maybe(fc.nat()),
      priority: maybe(fc.nat()),
      table: maybe(fc.nat()),
      scope: maybe(fc.nat()),
    }),
    { maxLength: 3 },
  ),
  dns: fc.record({ nameservers: fc.array(name), domain: maybe(name), search: fc.array(name), options: fc.array(name) }),
});

describe("parseResult", () => {
  it("reads back every 1.1.0 result", () => {
    fc.assert(
      fc.property(result, (value) => {
        expect(parseResult(renderResult(value, "1.1.0"), "1.1.0")).toEqual(value);
      }),
    );
  });

  it.each(CNI_VERSIONS)("reads what %s can say, so that an unchanged chain returns an equal result", (version) => {
    fc.assert(
      fc.property(result, (value) => {
        const document = renderResult(value, version);
        const parsed = parseResult(JSON.parse(JSON.stringify(document)), version);
        expect(parsed && renderResult(parsed, version)).toEqual(document);
      }),
    );
  });

  it("takes Go's blanks for absent", () => {
    const document = {
      interfaces: [{ name: "eth0", mac: "", sandbox: "" }],
      ips: [{ address: "10.0.0.1/8", gateway: "", interface: -1 }],
      routes: null,
      dns: { nameservers: null, domain: "" },
    };
    expect(parseResult(document, "1.0.0")).toMatchObject({
      interfaces: [{ name: "eth0", mac: undefined, sandbox: undefined }],
      ips: [{ address: "10.0.0.1/8", gateway: undefined, interfaceIndex: undefined }],
      routes: [],
      dns: NO_DNS,
    });
    expect(parseResult(null, "1.0.0")).toBeUndefined();
    expect(parseResult({ dns: {} }, "0.2.0")).toMatchObject({ ips: [], interfaces: [] });
  });
});
