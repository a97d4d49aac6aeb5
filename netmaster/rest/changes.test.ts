import { expect, it } from "vitest";
import { COLLECTIONS } from "./collections.ts";
import { type Body, contractWorld, grp, net, profile, rule } from "./testing/contract-world.ts";

/** By kind: an object, and another value for every member that is no part of its key. */
const OBJECTS: Readonly<Record<string, readonly [readonly [string, Body], Body]>> = {
  tenant: [
    ["tenants/t9", { tenantName: "t9" }],
    {
      defaultNetwork: "x",
      ingressCeiling: "9mbps",
      ingressCeilingBurst: 9,
      egressCeiling: "9mbps",
      egressCeilingBurst: 9,
    },
  ],
  network: [
    net("n9", { subnet: "10.9.0.0/24" }),
    {
      ...{ nwType: "infra", encap: "vxlan", pktTag: 9, subnet: "10.9.1.0/24", gateway: "10.9.0.1", cfgdTag: "x" },
      ...{ ipv6Subnet: "fd09::/64", physicalNetwork: "x", mtuBytes: 1400, driver: "ovs" },
    },
  ],
  endpointGroup: [
    grp("g9"),
    {
      ...{ networkName: "n2", ipPool: "10.1.1.10-10.1.1.20", policies: ["p1"], netProfile: "np", cfgdTag: "x" },
      ...{ ingressCeiling: "9mbps", ingressCeilingBurst: 9, egressCeiling: "9mbps", egressCeilingBurst: 9 },
    },
  ],
  rule: [
    rule(),
    {
      ...{ direction: "out", action: "deny", priority: 9, protocol: "tcp", fromEndpointGroup: "g9", fromNetwork: "n1" },
      fromIpAddress: "10.1.1.1",
    },
  ],
  netprofile: [
    profile(),
    {
      ...{ bandwidth: "9mbps", burst: 9, DSCP: 9, ingressBandwidth: "9mbps", ingressBurst: 9, egressMode: "shape" },
      ...{ egressBandwidth: "9mbps", egressBurst: 9, strict: true },
    },
  ],
  appProfile: [["appProfiles/t1:a9", { tenantName: "t1", appProfileName: "a9" }], { endpointGroups: ["g9"] }],
  global: [
    ["globals/global", { name: "global" }],
    { vlans: "1-99", vxlans: "1-99", arpMode: "flood", fwdMode: "routing", pvtSubnet: "172.20.0.0/16" },
  ],
};

const MEMBERS = Object.entries(OBJECTS).flatMap(([kind, [object, values]]) =>
  Object.entries(values).map(([member, value]) => ({ kind, object, member, value })),
);

function changeOf(kind: string, member: string) {
  return COLLECTIONS.find((collection) => collection.kind === kind)?.writes?.changes[member];
}

async function worldWith([path, body]: readonly [string, Body]) {
  const world = await contractWorld();
  for (const [name, subnet] of [
    ["n1", "10.1.1.0/24"],
    ["n2", "10.2.1.0/24"],
  ] as const) {
    await world.must("POST", ...net(name, { subnet }));
  }
  await world.must("POST", "policys/t1:p1", { tenantName: "t1", policyName: "p1" });
  await world.must("POST", ...profile());
  await world.must("POST", ...grp("g9"));
  if (path !== "globals/global") await world.send("POST", path, body);
  return world;
}

it.each(MEMBERS)(
  "$kind $member can be changed when its description says so",
  async ({ kind, object, member, value }) => {
    const { send } = await worldWith(object);
    const [path, body] = object;
    const answers = [
      await send("POST", path, { ...body, [member]: value }),
      await send("PATCH", path, { [member]: value }),
    ];
    const change = changeOf(kind, member);
    const told = answers.map((answer) => answer.split(" ", 1)[0]);
    if (change === "patched") expect(told).toEqual(["409", "ok"]);
    else if (change === undefined || change === "kept-without-networks") expect(told).toEqual(["409", "409"]);
    else expect(told).toEqual(["ok", "ok"]);
  },
);

it.each(MEMBERS.filter(({ kind, member }) => changeOf(kind, member)?.startsWith("kept")))(
  "$kind $member stays when a POST leaves it out",
  async ({ kind, object: [path, body], member, value }) => {
    const { send, app } = kind === "global" ? await contractWorld() : await worldWith([path, body]);
    expect(await send("PATCH", path, { [member]: value })).toBe("ok");
    expect(await send("POST", path, body)).toBe("ok");
    expect((await app.inject({ url: `/api/v1/${path}/` })).json()).toMatchObject({ [member]: value });
  },
);
