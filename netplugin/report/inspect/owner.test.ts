import { expect, it } from "vitest";
import type { NodeName } from "../../../state/names.ts";
import { policyView } from "../../../test/fakes/policy-view.ts";
import { cookieOf, ownerIdOf } from "../../desired/pipeline/pipeline.ts";
import type { Attachment } from "../../machine/attachment.ts";
import { inspectEndpoints } from "./endpoints.ts";
import { ownersOfCookie } from "./owner.ts";

const VIEW = policyView({
  networks: [{ key: "t1:net", subnet: "10.1.0.0/24" }],
  groups: [{ key: "t1:web", network: "t1:net", policies: ["web"] }],
  endpoints: [{ key: "c1:eth0", group: "t1:web", ipv4: "10.1.0.1" }],
  rules: [{ id: "web:closed", protocol: "tcp", port: 81 }],
});

function cookieOfOwner(owner: string): string {
  return `0x${cookieOf({ generation: 2, ownerId: ownerIdOf(owner) }).toString(16)}`;
}

it("a flow's cookie leads to its object", () => {
  const cookie = cookieOfOwner("rule/t1:web:closed");
  expect(ownersOfCookie(cookie, VIEW)).toMatchObject({
    ...{ cookie, generation: 2 },
    owners: [{ kind: "rule", key: "t1:web:closed", object: { config: { action: "deny", port: 81 } } }],
  });
  expect(
    ownersOfCookie(cookieOfOwner("endpoint/c1:eth0").toUpperCase().replace("0X", "0x"), VIEW).owners,
  ).toMatchObject([{ kind: "endpoint", key: "c1:eth0" }]);
  expect(ownersOfCookie(cookieOfOwner("base/"), VIEW).owners).toMatchObject([{ kind: "base" }]);
  expect(ownersOfCookie(cookieOfOwner("rule/t1:web:gone"), VIEW)).toMatchObject({
    owners: [],
    note: expect.stringContaining("deleted"),
  });
});

it.each([null, "", "c017", "0x", "0xc0170002", "0x1234", "0xc017000237c4c1a6f"])("%j is no cookie of ours", (text) => {
  expect(() => ownersOfCookie(text, VIEW)).toThrow(/0xc017/);
});

it("an endpoint is told with its port, its pod's addresses, network and group, and found by its pod", () => {
  const attachment = { endpointKey: "c1:eth0", portName: "cvh1", ofport: 11 } as Attachment;
  const bare = { endpointKey: "c2:eth0", portName: "cvh2", ofport: 12 } as Attachment;
  const node = {
    attachments: () => new Map([attachment, bare].map((each) => [each.endpointKey, each])),
    view: () => VIEW,
    nodeName: "n1" as NodeName,
  };
  expect(inspectEndpoints(node, null)).toEqual([
    expect.objectContaining({ ...attachment, network: "t1:net", group: "t1:web", ipv4: "10.1.0.1" }),
    bare,
  ]);
  expect(() => inspectEndpoints(node, "shop/web-0")).toThrow("pod shop/web-0 has no endpoint on node n1");
});
