import { putAdd, putControl } from "../bundle.ts";
import { createWriter, putU16, putU32, putZeros, written } from "../bytes.ts";
import { putCtFlush } from "../ct-flush.ts";
import type { Part } from "../exchange.ts";
import type { GroupMod } from "../group.ts";
import { putGroupMod } from "../group-codec.ts";
import { putHello } from "../handshake.ts";
import { OFPT, type PutBody, putMessage } from "../message.ts";
import type { MeterMod } from "../meter.ts";
import { putMeterMod } from "../meter-codec.ts";
import { NXT, PACKET_IN2_FORMAT, putExperimenter, putPacketOut } from "../packet-codec.ts";
import {
  flowsPart,
  groupStatsPart,
  groupsPart,
  meterFeaturesPart,
  meterStatsPart,
  metersPart,
  portStatsPart,
  portsPart,
} from "../parts.ts";
import { putPortOpening } from "../port-codec.ts";
import { hex } from "./hex.ts";

/** A message and the text in which `ovs-ofctl ofp-parse` shows it; line ends are written ` | `. */
export interface MessageCase {
  readonly name: string;
  readonly message: () => Buffer;
  readonly text: string;
}

function messageOf(type: number, putBody?: PutBody): () => Buffer {
  return () => {
    const writer = createWriter();
    putMessage(writer, type, 1, putBody);
    return written(writer);
  };
}

function group(mod: GroupMod): () => Buffer {
  return messageOf(OFPT.groupMod, (out) => putGroupMod(out, mod));
}

function meter(mod: MeterMod): () => Buffer {
  return messageOf(OFPT.meterMod, (out) => putMeterMod(out, mod));
}

function multipart<T>(part: Part<T>): () => Buffer {
  return messageOf(OFPT.multipartRequest, (out) => {
    putU16(out, part.type);
    putZeros(out, 6);
    part.putBody?.(out);
  });
}

function experimenter(putBody: PutBody): () => Buffer {
  return messageOf(OFPT.experimenter, putBody);
}

const BUCKET = { id: 1, actions: [{ kind: "output", port: 1 }] } as const;
const METER = { id: 3, rateUnit: "kbit/s", hasBurst: true, keepsStats: true } as const;
const DROP = { kind: "drop", rate: 1000, burst: 2000 } as const;
const FLOW = { table: 4, priority: 5, cookie: 6n, match: { inPort: 7 }, actions: [] };

export const MESSAGE_CASES: readonly MessageCase[] = [
  {
    name: "hello",
    message: messageOf(OFPT.hello, putHello),
    text: "OFPT_HELLO (OF1.5) (xid=0x1): | version bitmap: 0x06",
  },
  { name: "barrier", message: messageOf(OFPT.barrierRequest), text: "OFPT_BARRIER_REQUEST (OF1.5) (xid=0x1):" },
  {
    name: "echo",
    message: messageOf(OFPT.echoRequest),
    text: "OFPT_ECHO_REQUEST (OF1.5) (xid=0x1): 0 bytes of payload",
  },
  {
    name: "group all",
    message: group({ kind: "group-add", group: { id: 9, type: "all", buckets: [BUCKET, { id: 2, actions: [] }] } }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | ADD group_id=9,type=all,bucket=bucket_id:1,actions=output:1,bucket=bucket_id:2,actions=drop",
  },
  {
    name: "group select",
    message: group({
      kind: "group-put",
      group: {
        id: 9,
        type: "select",
        selection: { method: "dp_hash", param: 5n },
        buckets: [{ ...BUCKET, weight: 7 }],
      },
    }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | ADD_OR_MOD group_id=9,type=select,selection_method=dp_hash,selection_method_param=5,bucket=bucket_id:1,weight:7,actions=output:1",
  },
  {
    name: "group indirect",
    message: group({ kind: "group-modify", group: { id: 9, type: "indirect", buckets: [BUCKET] } }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | MOD group_id=9,type=indirect,bucket=bucket_id:1,actions=output:1",
  },
  {
    name: "group fast failover",
    message: group({
      kind: "group-add",
      group: {
        id: 9,
        type: "fastFailover",
        buckets: [
          { ...BUCKET, watchPort: 3 },
          { ...BUCKET, id: 2, watchGroup: 4 },
        ],
      },
    }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | ADD group_id=9,type=ff,bucket=bucket_id:1,watch_port:3,actions=output:1,bucket=bucket_id:2,watch_group:4,actions=output:1",
  },
  {
    name: "group delete",
    message: group({ kind: "group-delete", id: 9 }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | DEL group_id=9,type=all",
  },
  {
    name: "group delete all",
    message: group({ kind: "group-delete", id: "all" }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | DEL group_id=4294967292,type=all",
  },
  {
    name: "bucket insert last",
    message: group({ kind: "group-insert-buckets", id: 9, type: "select", place: "last", buckets: [BUCKET] }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | INSERT_BUCKET command_bucket_id:last,group_id=9,bucket=bucket_id:1,actions=output:1",
  },
  {
    name: "bucket insert after",
    message: group({ kind: "group-insert-buckets", id: 9, type: "all", place: 3, buckets: [BUCKET] }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | INSERT_BUCKET command_bucket_id:3,group_id=9,bucket=bucket_id:1,actions=output:1",
  },
  {
    name: "bucket remove",
    message: group({ kind: "group-remove-bucket", id: 9, bucket: 3 }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | REMOVE_BUCKET command_bucket_id:3,group_id=9",
  },
  {
    name: "bucket remove first",
    message: group({ kind: "group-remove-bucket", id: 9, bucket: "first" }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | REMOVE_BUCKET command_bucket_id:first,group_id=9",
  },
  {
    name: "bucket remove all",
    message: group({ kind: "group-remove-bucket", id: 9, bucket: "all" }),
    text: "OFPT_GROUP_MOD (OF1.5) (xid=0x1): | REMOVE_BUCKET command_bucket_id:all,group_id=9",
  },
  {
    name: "meter add",
    message: meter({ kind: "meter-add", meter: { ...METER, bands: [DROP] } }),
    text: "OFPT_METER_MOD (OF1.5) (xid=0x1): ADD meter=3 kbps burst stats bands= | type=drop rate=1000 burst_size=2000",
  },
  {
    name: "meter of packets",
    message: meter({
      kind: "meter-modify",
      meter: { id: 4, rateUnit: "packet/s", hasBurst: false, keepsStats: false, bands: [{ ...DROP, burst: 0 }] },
    }),
    text: "OFPT_METER_MOD (OF1.5) (xid=0x1): MOD meter=4 pktps bands= | type=drop rate=1000",
  },
  {
    name: "meter delete",
    message: meter({ kind: "meter-delete", id: 3 }),
    text: "OFPT_METER_MOD (OF1.5) (xid=0x1): DEL meter=3 bands=",
  },
  {
    name: "meter delete all",
    message: meter({ kind: "meter-delete", id: "all" }),
    text: "OFPT_METER_MOD (OF1.5) (xid=0x1): DEL meter=all bands=",
  },
  {
    name: "packet out",
    message: messageOf(OFPT.packetOut, (out) =>
      putPacketOut(out, {
        inPort: 2,
        actions: [{ kind: "output", port: 3 }],
        data: hex("ffffffffffff 020202020202 0806 0001080006040001020202020202 0a000001 000000000000 0a000002"),
      }),
    ),
    text: "OFPT_PACKET_OUT (OF1.5) (xid=0x1): in_port=2 actions=output:3 data_len=42 | arp,vlan_tci=0x0000,dl_src=02:02:02:02:02:02,dl_dst=ff:ff:ff:ff:ff:ff,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1,arp_sha=02:02:02:02:02:02,arp_tha=00:00:00:00:00:00",
  },
  {
    name: "bundle open",
    message: messageOf(OFPT.bundleControl, (out) => putControl(out, { id: 8, flags: 3 }, 0)),
    text: "OFPT_BUNDLE_CONTROL (OF1.5) (xid=0x1): | bundle_id=0x8 type=OPEN_REQUEST flags=atomic ordered",
  },
  {
    name: "bundle commit",
    message: messageOf(OFPT.bundleControl, (out) => putControl(out, { id: 8, flags: 2 }, 4)),
    text: "OFPT_BUNDLE_CONTROL (OF1.5) (xid=0x1): | bundle_id=0x8 type=COMMIT_REQUEST flags=ordered",
  },
  {
    name: "bundle discard",
    message: messageOf(OFPT.bundleControl, (out) => putControl(out, { id: 8, flags: 1 }, 6)),
    text: "OFPT_BUNDLE_CONTROL (OF1.5) (xid=0x1): | bundle_id=0x8 type=DISCARD_REQUEST flags=atomic",
  },
  {
    name: "bundle add flow",
    message: () => {
      const writer = createWriter();
      putAdd(writer, { id: 8, flags: 3 }, { kind: "flow-add", flow: FLOW }, 1);
      return written(writer);
    },
    text: "OFPT_BUNDLE_ADD_MESSAGE (OF1.5) (xid=0x1): | bundle_id=0x8 flags=atomic ordered | OFPT_FLOW_MOD (OF1.5) (xid=0x1): ADD table:4 priority=5,in_port=7 cookie:0x6 actions=drop",
  },
  {
    name: "bundle add group",
    message: () => {
      const writer = createWriter();
      putAdd(writer, { id: 8, flags: 3 }, { kind: "group-delete", id: 5 }, 1);
      return written(writer);
    },
    text: "OFPT_BUNDLE_ADD_MESSAGE (OF1.5) (xid=0x1): | bundle_id=0x8 flags=atomic ordered | OFPT_GROUP_MOD (OF1.5) (xid=0x1): | DEL group_id=5,type=all",
  },
  { name: "flows", message: multipart(flowsPart({})), text: "OFPST_FLOW request (OF1.5) (xid=0x1):" },
  {
    name: "some flows",
    message: multipart(flowsPart({ table: 3, cookie: 0x10n, cookieMask: 0xf0n, outPort: 4, match: { inPort: 5 } })),
    text: "OFPST_FLOW request (OF1.5) (xid=0x1): table=3 out_port=4 in_port=5",
  },
  {
    name: "groups",
    message: multipart(groupsPart()),
    text: "OFPST_GROUP_DESC request (OF1.5) (xid=0x1): group_id=ALL",
  },
  {
    name: "group counters",
    message: multipart(groupStatsPart(5)),
    text: "OFPST_GROUP request (OF1.5) (xid=0x1): group_id=5",
  },
  { name: "meters", message: multipart(metersPart()), text: "OFPST_METER_CONFIG request (OF1.5) (xid=0x1): meter=all" },
  {
    name: "meter counters",
    message: multipart(meterStatsPart(5)),
    text: "OFPST_METER request (OF1.5) (xid=0x1): meter=5",
  },
  {
    name: "meter features",
    message: multipart(meterFeaturesPart()),
    text: "OFPST_METER_FEATURES request (OF1.5) (xid=0x1):",
  },
  {
    name: "ports",
    message: multipart(portsPart(undefined)),
    text: "OFPST_PORT_DESC request (OF1.5) (xid=0x1): port=ANY",
  },
  {
    name: "port counters",
    message: multipart(portStatsPart(5)),
    text: "OFPST_PORT request (OF1.5) (xid=0x1): port_no=5",
  },
  {
    name: "port opened",
    message: messageOf(OFPT.portMod, (out) => putPortOpening(out, { port: 7, mac: "02:00:00:00:00:07" })),
    text: "OFPT_PORT_MOD (OF1.5) (xid=0x1): port: 7: addr:02:00:00:00:00:07 | config: 0 | mask:   NO_RECV NO_FWD NO_PACKET_IN | advertise: UNCHANGED",
  },
  {
    name: "set config",
    message: messageOf(OFPT.setConfig, (out) => {
      putU16(out, 0);
      putU16(out, 0xffff);
    }),
    text: "OFPT_SET_CONFIG (OF1.5) (xid=0x1): frags=normal miss_send_len=65535",
  },
  {
    name: "packet-in format",
    message: experimenter((out) => {
      putExperimenter(out, NXT.setPacketInFormat);
      putU32(out, PACKET_IN2_FORMAT);
    }),
    text: "NXT_SET_PACKET_IN_FORMAT (OF1.5) (xid=0x1): format=nxt_packet_in2",
  },
  {
    name: "ct flush all",
    message: experimenter((out) => putCtFlush(out, {})),
    text: "NXT_CT_FLUSH (OF1.5) (xid=0x1): zone=0 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0,ct_nw_proto=0' 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0'",
  },
  {
    name: "ct flush zone",
    message: experimenter((out) => putCtFlush(out, { zone: 5 })),
    text: "NXT_CT_FLUSH (OF1.5) (xid=0x1): zone=5 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0,ct_nw_proto=0' 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0'",
  },
  {
    name: "ct flush tuple",
    message: experimenter((out) =>
      putCtFlush(out, {
        zone: 5,
        ipProto: 6,
        orig: { src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 80 },
        reply: { src: "10.0.0.2" },
      }),
    ),
    text: "NXT_CT_FLUSH (OF1.5) (xid=0x1): zone=5 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_tp_src=1,ct_tp_dst=80,ct_nw_proto=6' 'ct_nw_src=10.0.0.2,ct_nw_dst=::,ct_tp_src=0,ct_tp_dst=0'",
  },
  {
    name: "ct flush icmp",
    message: experimenter((out) =>
      putCtFlush(out, { ipProto: 58, orig: { src: "fd00::1", dst: "fd00::2", icmpId: 4, icmpType: 128, icmpCode: 0 } }),
    ),
    text: "NXT_CT_FLUSH (OF1.5) (xid=0x1): zone=0 'ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::2,icmp_id=4,icmp_type=128,icmp_code=0,ct_nw_proto=58' 'ct_ipv6_src=::,ct_ipv6_dst=::,icmp_id=0,icmp_type=0,icmp_code=0'",
  },
];
