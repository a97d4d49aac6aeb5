import { fileURLToPath } from "node:url";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { parseIpv4, parseIpv6 } from "../../state/address.ts";
import { end, spawnTied } from "./ovs-node.ts";

const SCRIPT = fileURLToPath(new URL("frames.py", import.meta.url));
const PYTHON = "/usr/bin/python3";

/** Sends frames (hexadecimal) from a device inside a network namespace, past the kernel's own ideas of addresses. */
export async function sendFrames(netns: string, device: string, frames: readonly string[]): Promise<void> {
  const stdin = `${frames.join("\n")}\n`;
  await run(inNetns(netns, [PYTHON, SCRIPT, "send", device]), { stdin });
}

/** Every frame that a device has received since the start, in hexadecimal. */
export interface Sniffer extends AsyncDisposable {
  readonly frames: readonly string[];
}

export async function sniff(netns: string, device: string): Promise<Sniffer> {
  const child = spawnTied(process.env, [...inNetns(netns, [PYTHON, SCRIPT, "sniff", device])]);
  const frames: string[] = [];
  const ready = new Promise<void>((resolve, reject) => {
    let rest = "";
    child.once("exit", () => reject(new Error(`No sniffer on ${device} in ${netns}`)));
    child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) line === "ready" ? resolve() : frames.push(line);
    });
  });
  await ready;
  return { frames, [Symbol.asyncDispose]: () => end(child) };
}

const hex = (value: number | bigint, bytes: number) => value.toString(16).padStart(bytes * 2, "0");
const macHex = (mac: string) => mac.replaceAll(":", "");
const ipHex = (ip: string) => (ip.includes(":") ? hex(parseIpv6(ip) ?? 0n, 16) : hex(parseIpv4(ip) ?? 0n, 4));

export interface Link {
  readonly src: string;
  readonly dst: string;
  /** 802.1Q tag. */
  readonly vlan?: number;
}

function ethernet({ src, dst, vlan }: Link, etherType: number, payload: string): string {
  const tag = vlan === undefined ? "" : `8100${hex(vlan, 2)}`;
  return (macHex(dst) + macHex(src) + tag + hex(etherType, 2) + payload).padEnd(120, "0");
}

export interface Arp {
  readonly op: number;
  readonly sha: string;
  readonly spa: string;
  readonly tpa: string;
}

export function arpFrame(link: Link, { op, sha, spa, tpa }: Arp): string {
  const head = `0001080006040001`.slice(0, 12) + hex(op, 2);
  return ethernet(link, 0x0806, `${head}${macHex(sha)}${ipHex(spa)}000000000000${ipHex(tpa)}`);
}

const DISCARD_PORT = 9; // RFC 863

/** UDP with a text that tells it from every other frame. No checksums: it is looked for on the wire, not by a socket. */
export function udpFrame(
  link: Link,
  { src, dst, text, port = DISCARD_PORT }: { src: string; dst: string; text: string; port?: number },
): string {
  const data = Buffer.from(text, "latin1").toString("hex");
  const udp = `${hex(port, 2)}${hex(port, 2)}${hex(8 + text.length, 2)}0000${data}`;
  const length = udp.length / 2;
  if (src.includes(":")) return ethernet(link, 0x86dd, `60000000${hex(length, 2)}1140${ipHex(src)}${ipHex(dst)}${udp}`);
  const header = `4500${hex(20 + length, 2)}000000004011`;
  const sum = ipv4Checksum(`${header}0000${ipHex(src)}${ipHex(dst)}`);
  return ethernet(link, 0x0800, `${header}${sum}${ipHex(src)}${ipHex(dst)}${udp}`);
}

function ipv4Checksum(header: string): string {
  let sum = 0;
  for (let at = 0; at < header.length; at += 4) sum += Number.parseInt(header.slice(at, at + 4), 16);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return hex(~sum & 0xffff, 2);
}

export interface Discovery {
  readonly type: number;
  readonly src: string;
  readonly dst: string;
  readonly target: string;
  /** Option 1 (source) or 2 (target) with this address. */
  readonly option?: { readonly type: number; readonly mac: string };
}

/** Neighbour solicitation (135), advertisement (136) or router advertisement (134), hop limit 255, with its checksum. */
export function discoveryFrame(link: Link, { type, src, dst, target, option }: Discovery): string {
  const tail = option === undefined ? "" : `${hex(option.type, 1)}01${macHex(option.mac)}`;
  return icmp6Frame(link, { type, src, dst, body: `00000000${ipHex(target)}${tail}` });
}

/** ICMPv6 of code 0 with hop limit 255 and its checksum; `body` is what follows that, in hexadecimal. */
export function icmp6Frame(
  link: Link,
  { type, src, dst, body }: { type: number; src: string; dst: string; body: string },
): string {
  const length = body.length / 2 + 4;
  const pseudo = `${ipHex(src)}${ipHex(dst)}${hex(length, 4)}0000003a`;
  const sum = ipv4Checksum(`${pseudo}${hex(type, 1)}000000${body}`);
  return ethernet(
    link,
    0x86dd,
    `60000000${hex(length, 2)}3aff${ipHex(src)}${ipHex(dst)}${hex(type, 1)}00${sum}${body}`,
  );
}

/** True when a frame holds the text of `udpFrame`. */
export function holdsText(frame: string, text: string): boolean {
  return frame.includes(Buffer.from(text).toString("hex"));
}
