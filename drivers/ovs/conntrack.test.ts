import { describe, expect, it } from "vitest";
import { parseConnection } from "./conntrack.ts";

describe("a tracked connection", () => {
  it.each([
    [
      "tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=38870,dport=80),reply=(src=10.1.1.2,dst=10.1.1.1,sport=80,dport=38870),zone=11,mark=1,protoinfo=(state=ESTABLISHED)",
      { zone: 11, ipProto: 6, orig: { src: "10.1.1.1", dst: "10.1.1.2", srcPort: 38_870, dstPort: 80 }, mark: 1 },
    ],
    [
      "icmpv6,orig=(src=fe80::1,dst=fe80::2,id=8131,type=128,code=0),reply=(src=fe80::2,dst=fe80::1,id=8131,type=129,code=0),zone=7",
      {
        ...{ zone: 7, ipProto: 58, mark: 0 },
        orig: { src: "fe80::1", dst: "fe80::2", icmpId: 8_131, icmpType: 128, icmpCode: 0 },
      },
    ],
    [
      "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1),labels=0x1",
      { zone: 0, ipProto: 17, orig: { src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 2 }, mark: 0 },
    ],
    [
      "47,orig=(src=10.0.0.1,dst=10.0.0.2),reply=(src=10.0.0.2,dst=10.0.0.1),zone=65535,mark=0x3",
      { zone: 65_535, ipProto: 47, orig: { src: "10.0.0.1", dst: "10.0.0.2" }, mark: 3 },
    ],
  ])("is read from %s", (line, connection) => expect(parseConnection(line)).toEqual(connection));

  it.each(["", "tcp", "what,orig=(src=1.1.1.1,dst=1.1.1.2),reply=()", "tcp,orig=(src=1.1.1.1),reply=()"])(
    "is not read from %j",
    (line) => expect(() => parseConnection(line)).toThrow("Cannot read a connection"),
  );
});
