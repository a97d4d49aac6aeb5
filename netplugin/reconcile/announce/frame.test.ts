import { describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { gratuitousArp, unsolicitedAdvertisement } from "./frame.ts";

function bytes(...parts: readonly string[]): string {
  return parts.join("").replaceAll(" ", "");
}

/** The same frames are shown to tcpdump in announce-frame.system.test.ts. */
const ARP_FRAMES = [
  {
    mac: "02:02:0a:01:01:01",
    ipv4: "10.1.1.1",
    hex: bytes(
      "ffffffffffff 02020a010101 0806",
      "0001 0800 06 04 0001",
      "02020a010101 0a010101 000000000000 0a010101",
      "00".repeat(18),
    ),
  },
  {
    mac: "02:02:C0:A8:FF:FE",
    ipv4: "192.168.255.254",
    hex: bytes(
      "ffffffffffff 0202c0a8fffe 0806",
      "0001 0800 06 04 0001",
      "0202c0a8fffe c0a8fffe 000000000000 c0a8fffe",
      "00".repeat(18),
    ),
  },
];

const ND_FRAMES = [
  {
    mac: "02:02:0a:01:01:01",
    ipv6: "2001:db8:1::1",
    hex: bytes(
      "333300000001 02020a010101 86dd",
      "60000000 0020 3a ff",
      "20010db8000100000000000000000001 ff020000000000000000000000000001",
      "88 00 ee25 20000000 20010db8000100000000000000000001",
      "02 01 02020a010101",
    ),
  },
];

describe("gratuitous ARP", () => {
  it.each(ARP_FRAMES)("announces $ipv4", ({ mac, ipv4, hex }) => {
    expect(gratuitousArp(mac, ipv4).toString("hex")).toBe(hex);
  });

  it.each([
    { mac: "02:02:0a:01:01:01", ipv4: "fe80::1" },
    { mac: "02:02:0a:01:01:01", ipv4: "10.1.1" },
    { mac: "02:02:0a:01:01:01", ipv4: "10.1.1.256" },
    { mac: "02:02:0a:01:01:01", ipv4: "" },
    { mac: "02:02:0a:01:01", ipv4: "10.1.1.1" },
    { mac: "02-02-0a-01-01-01", ipv4: "10.1.1.1" },
    { mac: "", ipv4: "10.1.1.1" },
  ])("refuses $mac $ipv4", ({ mac, ipv4 }) => {
    expect(() => gratuitousArp(mac, ipv4)).toThrow(NetError);
  });
});

describe("unsolicited neighbour advertisement", () => {
  it.each(ND_FRAMES)("announces $ipv6", ({ mac, ipv6, hex }) => {
    expect(unsolicitedAdvertisement(mac, ipv6).toString("hex")).toBe(hex);
  });

  it("has a checksum that sums up to all ones, carry included", () => {
    for (const ipv6 of ["2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "fd00::ffff:0:1", "::1"]) {
      const frame = unsolicitedAdvertisement("02:ff:ff:ff:ff:ff", ipv6);
      const covered = frame.subarray(22); // addresses and message; the pseudo header's length and next header follow
      let sum = 32 + 58;
      for (let at = 0; at < covered.length; at += 2) sum += covered.readUInt16BE(at);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      expect(sum).toBe(0xffff);
    }
  });

  it.each([
    { mac: "02:02:0a:01:01:01", ipv6: "10.1.1.1" },
    { mac: "02:02:0a:01:01:01", ipv6: "2001:db8:::1" },
    { mac: "02:02:0a:01:01:01", ipv6: "fe80::1%eth0" },
    { mac: "02:02:0a:01:01:0g", ipv6: "2001:db8::1" },
  ])("refuses $mac $ipv6", ({ mac, ipv6 }) => {
    expect(() => unsolicitedAdvertisement(mac, ipv6)).toThrow(NetError);
  });
});
