import { describe, expect, it } from "vitest";
import { addAddress, deleteAddress, readAddress } from "./address.ts";
import { listAttributes } from "./attributes.ts";
import { createVeth, createVlan, deleteLink, deleteLinkGroup, dumpLinks, getLink, setLink } from "./link.ts";
import { NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE } from "./message.ts";
import { addNeighbour, readNeighbour } from "./neighbour.ts";
import { REQUESTS } from "./recorded.ts";
import { addRoute, deleteRoute, readRoute } from "./route.ts";

const recorded = (name: keyof typeof REQUESTS) => Buffer.from(REQUESTS[name], "hex");
const attributesOf = (body: Uint8Array, offset: number) => new Map(listAttributes(body, offset));
const invalid = expect.objectContaining({ code: "INVALID" });

describe("links", () => {
  it("a veth pair is what ip sends", () => {
    const { body, flags, type } = createVeth(
      { name: "h0", mtuBytes: 1400 },
      { name: "eth9", mac: "02:02:0a:01:00:02", mtuBytes: 1400 },
    );
    const [ours, theirs] = [attributesOf(body, 16), attributesOf(recorded("veth"), 16)];
    expect(type).toBe(16);
    expect(flags).toBe(NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO);
    for (const attribute of [3, 4]) expect(ours.get(attribute)).toEqual(theirs.get(attribute));
    const peer = (link: ReadonlyMap<number, Buffer>) => {
      const info = attributesOf(link.get(18) ?? Buffer.alloc(0), 0);
      const data = attributesOf(info.get(2) ?? Buffer.alloc(0), 0);
      return {
        kind: info.get(1)?.toString().replace("\0", ""),
        peer: attributesOf(data.get(1) ?? Buffer.alloc(0), 16),
      };
    };
    expect(peer(ours)).toEqual(peer(theirs));
  });

  it("changes are these bytes", () => {
    const changes = {
      mtuBytes: 1500,
      up: true,
      group: 5,
      alias: "pod",
      masterIfindex: 0,
      netnsFd: 9,
      mac: "02:00:00:00:00:01",
    };
    const { body, type } = setLink({ ifindex: 7 }, changes);
    expect(type).toBe(19);
    expect(Buffer.from(body.subarray(0, 16)).toString("hex")).toBe("00000000" + "07000000" + "01000000" + "01000000");
    expect([...attributesOf(body, 16)].map(([one, payload]) => [one, payload.toString("hex")])).toEqual([
      [1, "020000000001"],
      [4, "dc050000"],
      [27, "05000000"],
      [10, "00000000"],
      [28, "09000000"],
      [20, "706f64"],
    ]);
  });

  it("up, down and neither differ in flags and mask", () => {
    const flags = (up?: boolean) => setLink({ ifindex: 7 }, up === undefined ? {} : { up }).body.subarray(8, 16);
    expect(Buffer.from(flags(true)).toString("hex")).toBe("0100000001000000");
    expect(Buffer.from(flags(false)).toString("hex")).toBe("0000000001000000");
    expect(Buffer.from(flags()).toString("hex")).toBe("0000000000000000");
  });

  it("an empty alias is an empty attribute, which removes it", () => {
    expect(attributesOf(setLink({ ifindex: 7 }, { alias: "" }).body, 16).get(20)).toEqual(Buffer.alloc(0));
  });

  it.each(["", ".", "..", "a/b", "a b", "a:b", "sixteen-bytes-xx", "a\0b", "ääääääää", "tab\t"])(
    "the name %j is refused",
    (name) => {
      expect(() => createVeth({ name }, { name: "eth0" })).toThrow(invalid);
      expect(() => createVeth({ name: "v" }, { name })).toThrow(invalid);
      expect(() => getLink({ name })).toThrow(invalid);
      expect(() => setLink({ ifindex: 1 }, { name })).toThrow(invalid);
    },
  );

  it.each([0, -1, 1.5, Number.NaN])("the ifindex %d is refused: 0 would mean any link", (ifindex) => {
    expect(() => deleteLink({ ifindex })).toThrow(invalid);
    expect(() => setLink({ ifindex }, { up: true })).toThrow(invalid);
  });

  it("renaming by name, group 0 and a long alias are refused", () => {
    expect(() => setLink({ name: "a" }, { name: "b" })).toThrow(invalid);
    expect(() => deleteLinkGroup(0)).toThrow(invalid);
    expect(() => setLink({ ifindex: 1 }, { alias: "x".repeat(256) })).toThrow(invalid);
  });

  it("deeds name what would be done", () => {
    expect(deleteLink({ name: "v0" }).deed).toBe('delete link "v0"');
    expect(setLink({ ifindex: 3 }, {}).deed).toBe("change link #3");
    expect(createVlan({ name: "v.5" }, { lowerIfindex: 2, tag: 5 }).deed).toBe('create vlan link "v.5"');
    expect(dumpLinks().message.deed).toBe("list links");
  });
});

describe("addresses", () => {
  it("are what ip sends", () => {
    const v4 = addAddress({ ifindex: 3, prefix: "10.1.0.2/24", exclusive: true });
    expect(Buffer.from(v4.body)).toEqual(recorded("address4"));
    expect(v4.flags).toBe(NLM_F_CREATE | NLM_F_EXCL);
    const v6 = addAddress({ ifindex: 3, prefix: "2001:db8::2/64", skipDuplicateDetection: true });
    expect(readAddress(Buffer.from(v6.body))).toEqual(readAddress(recorded("address6")));
    expect(v6.flags).toBe(NLM_F_CREATE | NLM_F_REPLACE);
  });

  it("without a prefix length are refused", () => {
    expect(() => addAddress({ ifindex: 3, prefix: "10.1.0.2" })).toThrow(invalid);
    expect(() => deleteAddress({ ifindex: 3, prefix: "10.1.0.300/24" })).toThrow(invalid);
  });
});

describe("routes", () => {
  it("are what ip sends", () => {
    const route = addRoute({ destination: "10.9.0.0/16", gateway: "10.1.0.1", ifindex: 3, metric: 7 });
    expect(readRoute(Buffer.from(route.body))).toEqual(readRoute(recorded("route")));
  });

  it("without a gateway have the scope of the link in IPv4", () => {
    expect(addRoute({ destination: "10.0.0.1/32", ifindex: 3 }).body[6]).toBe(253);
    expect(addRoute({ destination: "2001:db8::1/128", ifindex: 3 }).body[6]).toBe(0);
    expect(addRoute({ destination: "10.0.0.0/8", gateway: "10.1.0.1" }).body[6]).toBe(0);
    expect(deleteRoute({ destination: "10.0.0.0/8" }).body[6]).toBe(255);
  });

  it("with a gateway of the other family are refused", () => {
    expect(() => addRoute({ destination: "0.0.0.0/0", gateway: "fe80::1" })).toThrow(invalid);
  });
});

describe("neighbours", () => {
  it("are what ip sends", () => {
    const ours = addNeighbour({ ifindex: 3, address: "10.1.0.9", mac: "02:00:00:00:00:09" });
    expect(Buffer.from(ours.body)).toEqual(recorded("neighbour"));
    expect(readNeighbour(Buffer.from(ours.body))).toEqual({
      ifindex: 3,
      family: "ipv4",
      address: "10.1.0.9",
      mac: "02:00:00:00:00:09",
      state: "permanent",
    });
  });
});
