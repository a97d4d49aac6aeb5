import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NetnsHandle, openNetns } from "../netlink/netns.ts";
import { createScratchNetns, type ScratchNetns } from "../netlink/scratch-netns.ts";
import { type ClosedLinks, closingTable } from "./ruleset.ts";
import { ensureTable, removeTable } from "./tables.ts";

/** Our tables against the `nft` program, which reads and writes them by itself. */
let scratch: ScratchNetns;
let netns: NetnsHandle;

beforeAll(async () => {
  scratch = await createScratchNetns();
  netns = openNetns(scratch.path);
});

afterAll(() => {
  netns?.[Symbol.dispose]();
  scratch?.[Symbol.dispose]();
});

const LINKS: ClosedLinks = {
  nearEndPrefix: "cvh",
  names: ["eth0", "a-nic-of-15-byt"],
  tunnels: { names: ["cu-eth0"], udpPort: 4789 },
};
const inet = closingTable("inet", LINKS);
const arp = closingTable("arp", LINKS);

function listed(family: string): string {
  return scratch.run("nft", "list", "table", family, "contiv-ts").replaceAll(/packets \d+ bytes \d+/g, "…");
}

describe("tables", () => {
  it("are what nft shows", async () => {
    expect(await ensureTable(inet, netns)).toBe("repaired");
    expect(await ensureTable(arp, netns)).toBe("repaired");
    expect(listed("inet")).toBe(
      [
        "table inet contiv-ts {",
        "\tchain prerouting {",
        "\t\ttype filter hook prerouting priority -500; policy accept;",
        '\t\tiifname "cvh*" counter … drop',
        '\t\tiifname "a-nic-of-15-byt" counter … drop',
        '\t\tiifname "eth0" counter … drop',
        '\t\tiifname "cu-eth0" udp dport 4789 counter … drop',
        "\t}",
        "}",
        "",
      ].join("\n"),
    );
    expect(listed("arp")).toContain("type filter hook input priority -500; policy accept;");
    expect(listed("arp")).not.toContain("udp");
  });

  it("keep what is put into a bridge by hand from it, in and out", async () => {
    const bridge = closingTable("bridge", LINKS);
    expect(await ensureTable(bridge, netns)).toBe("repaired");
    expect(await ensureTable(bridge, netns)).toBe("as wanted");
    expect(listed("bridge")).toBe(
      [
        "table bridge contiv-ts {",
        "\tchain prerouting {",
        "\t\ttype filter hook prerouting priority -500; policy accept;",
        '\t\tiifname "cvh*" counter … drop',
        "\t}",
        "",
        "\tchain postrouting {",
        "\t\ttype filter hook postrouting priority -500; policy accept;",
        '\t\toifname "cvh*" counter … drop',
        "\t}",
        "}",
        "",
      ].join("\n"),
    );
    scratch.run("ip", "link", "add", "br0", "type", "bridge");
    scratch.run("ip", "link", "add", "cvh0", "master", "br0", "type", "veth", "peer", "name", "far0");
    for (const name of ["br0", "cvh0", "far0"]) scratch.run("ip", "link", "set", name, "up"); // each speaks up for IPv6
    const counts = () => [...scratch.run("nft", "list", "table", "bridge", "contiv-ts").matchAll(/packets (\d+)/g)];
    await expect.poll(() => counts().every(([, packets]) => Number(packets) > 0), { timeout: 5_000 }).toBe(true);
    expect(scratch.run("ip", "-s", "-j", "link", "show", "br0")).toMatch(/"rx":\{"bytes":0,/);
    await removeTable(bridge.address, netns);
    scratch.run("ip", "link", "delete", "br0");
    scratch.run("ip", "link", "delete", "cvh0");
  });

  it("are left alone when nothing differs, whoever wrote them", async () => {
    const text = scratch.run("nft", "list", "ruleset");
    scratch.run("nft", "flush", "ruleset");
    scratch.run("sh", "-c", `nft -f - <<'EOT'\n${text}\nEOT`);
    expect(await ensureTable(inet, netns)).toBe("as wanted");
    expect(await ensureTable(arp, netns)).toBe("as wanted");
  });

  it.each([
    ["everything is flushed", "flush ruleset"],
    ["the table is deleted", "delete table inet contiv-ts"],
    ["its rules are flushed", "flush table inet contiv-ts"],
    ["the table sleeps", "add table inet contiv-ts { flags dormant; }"],
    ["a rule before ours accepts", "insert rule inet contiv-ts prerouting accept"],
    ["a rule like ours accepts first", 'insert rule inet contiv-ts prerouting iifname "cvh*" ip saddr 10.0.0.1 accept'],
    ["a rule is added", "add rule inet contiv-ts prerouting udp dport 53 drop"],
    ["a chain is added", "add chain inet contiv-ts more { type filter hook input priority 0; }"],
    ["the policy changes", "add chain inet contiv-ts prerouting { policy drop; }"],
    [
      "the chain is at another hook",
      "delete table inet contiv-ts; add table inet contiv-ts; add chain inet contiv-ts prerouting { type filter hook forward priority -500; }",
    ],
  ])("are repaired when %s", async (_what, command) => {
    await ensureTable(inet, netns);
    scratch.run("nft", command);
    expect(await ensureTable(inet, netns)).toBe("repaired");
    expect(await ensureTable(inet, netns)).toBe("as wanted");
    expect(listed("inet").match(/drop/g)).toHaveLength(4);
  });

  it("follow what is closed, and leave others' tables alone", async () => {
    scratch.run("nft", "add table inet other; add chain inet other c { type filter hook prerouting priority 0; }");
    const fewer = closingTable("inet", { ...LINKS, names: [], tunnels: { names: [], udpPort: 4789 } });
    expect(await ensureTable(fewer, netns)).toBe("repaired");
    expect(listed("inet").match(/drop/g)).toHaveLength(1);
    await removeTable(inet.address, netns);
    await removeTable(inet.address, netns);
    expect(scratch.run("nft", "list", "tables")).toContain("table inet other");
    expect(scratch.run("nft", "list", "tables")).not.toContain("table inet contiv-ts");
  });
});
