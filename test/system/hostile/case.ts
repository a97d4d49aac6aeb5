import type { Shot } from "./hub.ts";
import { type Actor, actor, type Mode, type Stage } from "./stage.ts";

/** What a case knows when it makes its frames: its mark, and what is only known once the stage is set. */
export interface Scene {
  readonly mark: number;
  readonly mode: Mode;
  readonly stage: Pick<Stage, "nearEnds">;
}

/** Frames of one station; an actor's name or the underlay. */
export type Frames = (scene: Scene) => readonly string[];

/** Something that a pod (or a stranger on the underlay) tries. */
export interface HostileCase {
  readonly name: string;
  readonly from: string;
  /** Sent first of all cases: first halves of packets, beginnings of connections. By another station when `by` names it. */
  readonly before?: readonly { readonly by: string; readonly frames: Frames }[];
  readonly frames: Frames;
  /** Sent when the switch has given up what was sent before. */
  readonly late?: Frames;
  /** Pods whose device must get the mark: a legal twin, or the proof that the case's way is open. */
  readonly must?: readonly string[];
  /** Pods whose device may get it, for it does no harm there. All others, and every kernel of a node, must not. */
  readonly may?: readonly string[];
  /** Only in this forwarding mode. */
  readonly mode?: Mode;
}

/** From one pod to another: what most cases are about. */
export interface Pair {
  readonly from: Actor;
  readonly to: Actor;
  readonly words: string;
}

export function pair(from: string, to: string): Pair {
  const [sender, receiver] = [actor(from), actor(to)];
  const place = sender.node === receiver.node ? "same node" : "other node";
  return { from: sender, to: receiver, words: `${from} to ${to}: ${sender.net === "vx" ? "VXLAN" : "VLAN"}, ${place}` };
}

/** Same node and other node, VXLAN and VLAN; the receivers allow what these cases send, so that no policy stops it. */
export const OPEN_PAIRS: readonly Pair[] = [
  pair("atk1", "q1"),
  pair("atk1", "q2"),
  pair("vatk", "vnear"),
  pair("vatk", "vfar"),
];

/** The same with receivers that deny port 81. */
export const JUDGED_PAIRS: readonly Pair[] = [
  pair("atk1", "q1"),
  pair("atk1", "q2"),
  pair("vatk", "vq1"),
  pair("vatk", "vq2"),
];

export function addressOf(who: Actor, family: 4 | 6): string {
  return family === 4 ? who.ipv4 : who.ipv6;
}

/** Addresses and MACs of a pair in one family. */
export function between({ from, to }: Pair, family: 4 | 6) {
  return {
    link: { src: from.mac, dst: to.mac },
    ends: { src: addressOf(from, family), dst: addressOf(to, family) },
  };
}

/** Of those who have heard a case, by the hub: who should not have, and who should and has not. The sender hears itself. */
export function judge({ from, must = [], may = [] }: HostileCase, heardBy: readonly string[]) {
  const heard = heardBy.filter((who) => !who.startsWith(`${from} `));
  const allowed = new Set([...must, ...may].flatMap((pod) => [`${pod} wire`, `${pod} socket`]));
  return {
    strangers: heard.filter((who) => !allowed.has(who)),
    deaf: must.filter((pod) => !heard.includes(`${pod} wire`)),
  };
}

export function shotsOf(from: string, frames: readonly string[]): readonly Shot[] {
  return frames.map((frame): Shot => [from, frame]);
}
