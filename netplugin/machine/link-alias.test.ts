import { describe, expect, it } from "vitest";
import type { AttachmentFacts } from "./attachment.ts";
import { attachmentFromMarks, attachmentMarks, callOf, POD_ROLE } from "./attachment.ts";
import { aliasesOf, factsOf } from "./link-alias.ts";

const CONTAINER = "0123456789abcdef".repeat(4);
const KUBERNETES: AttachmentFacts = {
  endpointKey: `${CONTAINER}:eth0`,
  epoch: "3f2b8a52-9c1d-4a52-8f7e-0c6b1d2e3f40",
  role: POD_ROLE,
  containerId: CONTAINER,
  ifName: "eth0",
  configName: "contiv",
  netnsPath: "/var/run/netns/cni-5a4d3c2b-1a09-4f8e-9d7c-6b5a4f3e2d1c",
};

function roundTrip(facts: AttachmentFacts): AttachmentFacts | undefined {
  const aliases = aliasesOf(facts);
  return factsOf(aliases?.far, aliases?.near);
}

describe("a pod's facts in the aliases of its links", () => {
  it("fit the far end's with a container runtime's names", () => {
    expect(aliasesOf(KUBERNETES)?.near).toBe("contiv-ts");
    expect(roundTrip(KUBERNETES)).toEqual(KUBERNETES);
  });

  it.each<[string, Partial<AttachmentFacts>]>([
    ["a key of another form", { endpointKey: "n1/abc/eth0" }],
    ["spaces, percent signs and other letters", { configName: "mein Netz 100 % – ñ", netnsPath: "/run/net ns/%2F" }],
    ["nothing where nothing is said", { configName: "", netnsPath: "" }],
    ["more than one alias holds", { netnsPath: `/run/${"x".repeat(200)}` }],
  ])("survive %s", (_, change) => {
    const facts = { ...KUBERNETES, ...change };
    expect(roundTrip(facts)).toEqual(facts);
    for (const alias of Object.values(aliasesOf(facts) ?? {}))
      expect(Buffer.byteLength(alias)).toBeLessThanOrEqual(255);
  });

  it.each<[string, Partial<AttachmentFacts>]>([
    ["by the call of another interface", { ifName: "net1", endpointKey: `${CONTAINER}:net1`, callIfName: "eth0" }],
    ["with a key of another form, too", { ifName: "net1", endpointKey: "n1/abc/net1", callIfName: "eth0" }],
    ["and more than one alias holds", { callIfName: "net1", netnsPath: `/run/${"x".repeat(200)}` }],
  ])("say which call made it: %s", (_, change) => {
    const facts = { ...KUBERNETES, ...change };
    expect(roundTrip(facts)).toEqual(facts);
    expect(callOf(facts)).toEqual({ containerId: CONTAINER, ifName: change.callIfName });
  });

  it("are the shorter ones where a call names the interface itself", () => {
    expect(aliasesOf({ ...KUBERNETES, callIfName: "eth0" })).toEqual(aliasesOf(KUBERNETES));
    expect(callOf(KUBERNETES)).toEqual({ containerId: CONTAINER, ifName: "eth0" });
  });

  it("are left out when both aliases are too short", () => {
    expect(aliasesOf({ ...KUBERNETES, netnsPath: `/run/${"x".repeat(400)}` })).toBeUndefined();
  });

  it.each([
    [undefined, undefined],
    ["contiv-ts", "contiv-ts"],
    ["", "contiv-ts"],
    ["somebody's own words", undefined],
    ["contiv-ts a b", undefined],
    ["contiv-ts epoch eth0 %E0%A4%A contiv /run/netns/x  .", undefined],
    [aliasesOf({ ...KUBERNETES, netnsPath: `/run/${"x".repeat(200)}` })?.far, "contiv-ts"],
  ])("are not read from %j and %j", (far, near) => expect(factsOf(far, near)).toBeUndefined());
});

describe("a pod's facts in the marks of its place", () => {
  const marked = (externalIds: Readonly<Record<string, string>>) =>
    attachmentFromMarks({ name: "cvh0000000001", ofport: 3, externalIds });

  it("name the call only where it named another interface", () => {
    const ofOther = { ...KUBERNETES, ifName: "net1", callIfName: "eth0" };
    expect(marked(attachmentMarks(ofOther))).toEqual({ ...ofOther, portName: "cvh0000000001", ofport: 3 });
    expect(attachmentMarks({ ...KUBERNETES, callIfName: "eth0" })).toEqual(attachmentMarks(KUBERNETES));
    expect(Object.keys(attachmentMarks(KUBERNETES))).not.toContain("contiv-call");
  });

  it("are read as before where an earlier release wrote them, without any call", () => {
    const written = {
      ...{ "contiv-role": "pod", "contiv-endpoint": KUBERNETES.endpointKey, "contiv-epoch": KUBERNETES.epoch },
      ...{ "contiv-container": CONTAINER, "contiv-ifname": "eth0", "contiv-config": "contiv" },
      "contiv-netns": KUBERNETES.netnsPath,
    };
    expect(marked(written)).toEqual({ ...KUBERNETES, portName: "cvh0000000001", ofport: 3 });
    expect(marked(written)).not.toHaveProperty("callIfName");
  });
});
