import { afterEach, describe, expect, it } from "vitest";
import { refuseDiverged } from "./calls.ts";
import { Endpoints } from "./endpoints.ts";

const URLS = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"] as const;
const opened: Endpoints[] = [];
afterEach(() => {
  for (const endpoints of opened.splice(0)) endpoints.close();
});

function open(compared: string): Endpoints {
  const endpoints = new Endpoints(URLS, { tls: undefined, auth: undefined, callTimeoutMs: 100 });
  opened.push(endpoints);
  for (const [index, endpoint] of endpoints.all.entries()) endpoint.isCompared = compared.includes(String(index));
  return endpoints;
}

/** Which endpoints are used from each place on. */
function used(endpoints: Endpoints): string {
  return [0, 1, 2].map((index) => endpoints.all.indexOf(endpoints.at(index))).join("");
}

describe("which endpoint is used", () => {
  it("is each in turn as long as all were compared, or none", () => {
    expect([used(open("012")), used(open(""))]).toEqual(["012", "012"]);
  });

  it("is one that was compared since its link broke, where there is one", () => {
    const endpoints = open("012");
    endpoints.avoid(endpoints.at(0));
    expect(used(endpoints)).toBe("112");
    for (const index of [1, 2]) endpoints.avoid(endpoints.at(index));
    expect(used(endpoints)).toBe("012");
  });

  it("moves on from one that fails, whatever it is", () => {
    const endpoints = open("02");
    const seen = new Set<string>();
    for (let failures = 0; failures < 6; failures += 1) {
      seen.add(endpoints.preferred.url);
      endpoints.avoid(endpoints.preferred);
    }
    expect(seen.size).toBe(3);
  });

  it("is never one with other data, also where it is the only one that was compared", () => {
    const endpoints = open("1");
    const { distrusted } = endpoints.at(1);
    endpoints.diverged = new Map([[URLS[1], "holds other data"]]);
    expect([used(endpoints), distrusted.aborted, endpoints.all[1]?.divergence]).toEqual([
      "022",
      true,
      "holds other data",
    ]);
    for (let failures = 0; failures < 6; failures += 1) {
      expect(endpoints.preferred.url).not.toBe(URLS[1]);
      endpoints.avoid(endpoints.preferred);
    }
    endpoints.diverged = new Map();
    expect([used(endpoints), endpoints.all[1]?.distrusted.aborted]).toEqual(["111", false]);
  });

  it("what it answers is refused, also if it had been asked before", () => {
    const endpoints = open("012");
    const asked = endpoints.at(1);
    expect(refuseDiverged(asked)).toBeUndefined();
    endpoints.diverged = new Map([[URLS[1], "holds other data"]]);
    expect(() => refuseDiverged(asked)).toThrow(/2 holds other data; stop that member, remove it.*add it anew, empty/);
  });
});
