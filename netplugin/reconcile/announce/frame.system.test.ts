import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { gratuitousArp, unsolicitedAdvertisement } from "./frame.ts";

/** pcap-savefile(5), Ethernet. */
function captureOf(frame: Buffer): Buffer {
  const words = [0xa1b2c3d4, 0x0004_0002, 0, 0, 65_535, 1, 0, 0, frame.length, frame.length];
  const head = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) head.writeUInt32LE(word, index * 4);
  return Buffer.concat([head, frame]);
}

/** What tcpdump makes of a frame. */
function decoded(frame: Buffer): string {
  const directory = mkdtempSync(join(tmpdir(), "announce-"));
  try {
    const file = join(directory, "frame.pcap");
    writeFileSync(file, captureOf(frame));
    const argv = ["-r", file, "-n", "-e", "-vv", "-t"];
    return execFileSync("tcpdump", argv, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("tcpdump", () => {
  it("reads a gratuitous ARP request", () => {
    const text = decoded(gratuitousArp("02:02:0a:01:01:01", "10.1.1.1"));
    expect(text).toContain("02:02:0a:01:01:01 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 60");
    expect(text).toMatch(/Request who-has 10\.1\.1\.1 (\(00:00:00:00:00:00\) )?tell 10\.1\.1\.1, length 46/);
  });

  it("reads an unsolicited advertisement and finds its checksum right", () => {
    const text = decoded(unsolicitedAdvertisement("02:02:0a:01:01:01", "2001:db8:1::1"));
    expect(text).toContain("02:02:0a:01:01:01 > 33:33:00:00:00:01, ethertype IPv6 (0x86dd), length 86");
    expect(text).toContain("hlim 255, next-header ICMPv6 (58) payload length: 32) 2001:db8:1::1 > ff02::1");
    expect(text).toContain("[icmp6 sum ok] ICMP6, neighbor advertisement");
    expect(text).toMatch(/tgt is 2001:db8:1::1, Flags \[override\]/);
    expect(text).toContain("destination link-address option (2), length 8 (1): 02:02:0a:01:01:01");
  });

  it("would find a wrong checksum", () => {
    const frame = unsolicitedAdvertisement("02:02:0a:01:01:01", "2001:db8:1::1");
    frame.writeUInt8(frame.readUInt8(57) ^ 1, 57);
    expect(decoded(frame)).toContain("bad icmp6 cksum");
  });
});
