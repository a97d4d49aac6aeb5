import { type Attribute, bytes, encodeBody, nested, readAttributes, readNested, readText, text } from "./attributes.ts";
import { type Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Query } from "./message.ts";
import { type QueueStatistics, readQueueStatistics } from "./queue-statistics.ts";
import { readTbf, type TbfParameters, tbfAttributes } from "./tbf.ts";
import {
  encodeTcHeader,
  RTM_DELQDISC,
  RTM_GETQDISC,
  RTM_NEWQDISC,
  readTcHeader,
  TC_H_CLSACT,
  TC_H_ROOT,
  TCA_KIND,
  TCA_OPTIONS,
  TCA_STATS2,
  TCMSG_BYTES,
  tcHandle,
} from "./traffic-control.ts";

const TC_H_MAJ_INGRESS = 0xffff0000;
// linux/pkt_sched.h
const TCA_HTB_INIT = 2;
const HTB_VERSION = 3;
const HTB_RATE_TO_QUANTUM = 10;

export interface QdiscPlace {
  readonly ifindex: number;
  /** Root by default; a class to hang a leaf below it. */
  readonly parent?: number;
  /** `1:` by default. */
  readonly handle?: number;
}

export interface QdiscRow {
  readonly ifindex: number;
  readonly handle: number;
  readonly parent: number;
  readonly kind: string;
  /** Of a tbf. */
  readonly tbf: TbfParameters | undefined;
  readonly statistics: QueueStatistics | undefined;
}

/** Makes a tbf or changes it in place: what is queued stays queued. */
export function replaceTbf(place: QdiscPlace, parameters: TbfParameters): Message {
  return replaceQdisc("tbf", place, tbfAttributes(parameters));
}

/** Makes an htb; traffic that no filter puts elsewhere goes to class `handle:defaultClass` (0: unlimited). */
export function replaceHtb(place: QdiscPlace, defaultClass = 0): Message {
  const init = Buffer.alloc(20); // struct tc_htb_glob: u32 version, rate2quantum, defcls, debug, direct_pkts
  init.writeUInt32LE(HTB_VERSION, 0);
  init.writeUInt32LE(HTB_RATE_TO_QUANTUM, 4);
  init.writeUInt32LE(defaultClass, 8);
  return replaceQdisc("htb", place, [bytes(TCA_HTB_INIT, init)]);
}

/** Makes a qdisc of a kind that needs no options or those given: fq, fq_codel, pfifo … ENOENT: unknown to the kernel. */
export function replaceQdisc(kind: string, place: QdiscPlace, options: readonly Attribute[] = []): Message {
  const { ifindex, parent = TC_H_ROOT, handle = tcHandle(1, 0) } = place;
  const attributes = [text(TCA_KIND, kind), ...(options.length === 0 ? [] : [nested(TCA_OPTIONS, options)])];
  return {
    deed: `set ${kind} on link #${ifindex}`,
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    body: encodeBody(encodeTcHeader({ ifindex, handle, parent, info: 0 }), attributes),
  };
}

/** Lets filters see what comes in through the link. EEXIST when it has an ingress or clsact qdisc. */
export function addIngress(ifindex: number): Message {
  return addHook("ingress", ifindex);
}

/** Lets filters see both directions, at TC_H_CLSACT_INGRESS and TC_H_CLSACT_EGRESS. */
export function addClsact(ifindex: number): Message {
  return addHook("clsact", ifindex);
}

/** Deletes the root qdisc, or the one at `parent`; ENOENT or EINVAL when there is none but the kernel's default. */
export function deleteQdisc({ ifindex, parent = TC_H_ROOT, handle = 0 }: QdiscPlace): Message {
  const body = encodeBody(encodeTcHeader({ ifindex, handle, parent, info: 0 }), []);
  return { deed: `delete a qdisc of link #${ifindex}`, type: RTM_DELQDISC, flags: 0, body };
}

/** Deletes the ingress or clsact qdisc with all its filters. */
export function deleteIngress(ifindex: number): Message {
  return deleteQdisc({ ifindex, parent: TC_H_CLSACT, handle: TC_H_MAJ_INGRESS });
}

/** The qdiscs of all links or of one; those that the kernel made itself have handle 0 and are left out by it. */
export function dumpQdiscs({ ifindex }: { readonly ifindex?: number } = {}): Query<QdiscRow> {
  const body = encodeTcHeader({ ifindex: ifindex ?? 0, handle: 0, parent: 0, info: 0 });
  const message = { deed: "list qdiscs", type: RTM_GETQDISC, flags: 0, body };
  return {
    message,
    answerType: RTM_NEWQDISC,
    decode(answer) {
      const isWanted = ifindex === undefined || readTcHeader(answer).ifindex === ifindex; // the kernel sends all
      return isWanted ? readQdisc(answer) : undefined;
    },
  };
}

/** Decodes the body of RTM_NEWQDISC. */
export function readQdisc(body: Buffer): QdiscRow {
  const { ifindex, handle, parent } = readTcHeader(body);
  const attributes = readAttributes(body, TCMSG_BYTES);
  const kind = readText(attributes, TCA_KIND) ?? "";
  return {
    ifindex,
    handle,
    parent,
    kind,
    tbf: kind === "tbf" ? readTbf(readNested(attributes, TCA_OPTIONS)) : undefined,
    statistics: readQueueStatistics(readNested(attributes, TCA_STATS2)),
  };
}

function addHook(kind: "ingress" | "clsact", ifindex: number): Message {
  const header = encodeTcHeader({ ifindex, handle: TC_H_MAJ_INGRESS, parent: TC_H_CLSACT, info: 0 });
  return {
    deed: `add ${kind} to link #${ifindex}`,
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: encodeBody(header, [text(TCA_KIND, kind)]),
  };
}
