import { ROLE_MARK } from "../../../drivers/driver.ts";
import { isFarCaptured, isNearCaptured, isWhole, type LinkPair } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import { WARM_ROLE } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { SwitchPort } from "../../../drivers/ovs/types.ts";
import {
  type Attachment,
  type AttachmentFacts,
  attachmentOf,
  isOneLease,
  isSameFacts,
  POD_ROLE,
} from "../../machine/attachment.ts";
import { factsOf } from "../../machine/link-alias.ts";

export interface AttachmentInput {
  readonly ports: ReadonlyMap<string, SwitchPort>;
  readonly pairs: ReadonlyMap<string, LinkPair>;
  /** What this process knows to be attached, by endpoint key. */
  readonly known: ReadonlyMap<string, Attachment>;
  /** Without macvlan the far end is in the pod. */
  readonly isFarInPanel: boolean;
  /** Ports that are being unplugged or cleaned: not ours to look at. */
  readonly isClosing: (portName: string) => boolean;
  /** An ADD is under way: it writes down itself whose the port is. */
  readonly isPending: (endpointKey: string) => boolean;
  /** Has this process compared switch and kernel before? Then it knows whose each port is; before it only read the switch's database. */
  readonly hasLooked: boolean;
  /** Has a DEL of this lease been answered? Then it has no claim, whatever is left of it. */
  readonly isEnded: (facts: AttachmentFacts) => boolean;
  /** Does the store know of this lease? */
  readonly isLeased: (facts: AttachmentFacts) => boolean;
}

/** What switch, kernel and this process disagree about. */
export interface AttachmentPlan {
  /** The links are there and the switch does not have the port as it should be: missing, or with other marks. */
  readonly unplugged: readonly Attachment[];
  /** Attached by the switch's database, and an end of the pair is gone: the pod has lost its interface. */
  readonly broken: readonly Attachment[];
  /** The kernel does not say whose the port is. */
  readonly unlabelled: readonly Attachment[];
  /** The kernel says that a port is a pod's and the switch says that it is free: the pod's interface tells. */
  readonly doubtful: readonly Attachment[];
  /** Pairs with the facts of an endpoint that has another port, or of a lease that has ended. */
  readonly surplus: readonly string[];
}

/** Compares what switch and kernel show. The kernel's facts last as long as the links; the database can be lost or be an older one. */
export function planAttachments(input: AttachmentInput): AttachmentPlan {
  const plan: Plan = { unplugged: [], broken: [], unlabelled: [], doubtful: [], surplus: [] };
  const pods = [...input.known.values()].filter(({ role }) => role === POD_ROLE);
  /** Endpoints whose ports are theirs for the kernel, too. */
  const settled = new Set<string>();
  for (const attachment of pods) {
    const right = isBusy(attachment, input) ? attachment : sortKnown(attachment, input, plan);
    if (right.endpointKey === attachment.endpointKey) settled.add(right.endpointKey);
  }
  const knownPorts = new Set(pods.map(({ portName }) => portName));
  for (const pair of input.pairs.values()) {
    const facts = factsOfPair(pair);
    if (facts === undefined || knownPorts.has(pair.portName) || isBusy({ ...facts, ...pair }, input)) continue;
    if (settled.has(facts.endpointKey) || input.isEnded(facts)) plan.surplus.push(pair.portName);
    else sortFound(attachmentFrom(facts, pair.portName), pair, { input, plan });
  }
  return plan;
}

type Busy = Pick<Attachment, "endpointKey" | "portName">;

function isBusy({ endpointKey, portName }: Busy, { isClosing, isPending }: AttachmentInput): boolean {
  return isClosing(portName) || isPending(endpointKey);
}

/** Is there nothing to do? */
export function isInAgreement(plan: AttachmentPlan): boolean {
  return Object.values(plan).every((found) => found.length === 0);
}

/**
 * What two looks have found alike, of which the second began after the first had ended. Ports pass from pod to pod while links are being
 * listed, and the switch's database is read later than they are: what one look shows may never have been so.
 */
export function inBoth(first: AttachmentPlan, second: AttachmentPlan): AttachmentPlan {
  const same = (kind: Exclude<keyof AttachmentPlan, "surplus">) => {
    const before = new Set(first[kind].map(leaseAndPort));
    return second[kind].filter((found) => before.has(leaseAndPort(found)));
  };
  return {
    unplugged: same("unplugged"),
    broken: same("broken"),
    unlabelled: same("unlabelled"),
    doubtful: same("doubtful"),
    surplus: second.surplus.filter((portName) => first.surplus.includes(portName)),
  };
}

function leaseAndPort({ endpointKey, epoch, portName }: Attachment): string {
  return JSON.stringify([endpointKey, epoch, portName]);
}

type Plan = { readonly [K in keyof AttachmentPlan]: AttachmentPlan[K][number][] };

/** Gives back whose the port is. */
function sortKnown(attachment: Attachment, input: AttachmentInput, plan: Plan): AttachmentFacts {
  const pair = input.pairs.get(attachment.portName);
  if (pair === undefined || !hasItsEnds(pair, input)) {
    plan.broken.push(attachment);
    return attachment;
  }
  const facts = factsOfPair(pair);
  const right = facts !== undefined && isKernelRight(facts, attachment, input) ? facts : attachment;
  const port = input.ports.get(attachment.portName);
  if (port === undefined || !isSame(attachmentOf(port), right)) {
    plan.unplugged.push(attachmentFrom(right, attachment.portName));
  }
  if (!isSame(facts, right)) plan.unlabelled.push(attachmentFrom(right, attachment.portName));
  return right;
}

/**
 * Of one lease the kernel's facts are those of ADD. Of two the one that lives is right. Where both do, what this process has seen counts;
 * at its start that is the database alone, which others write to, and the links have been made and named by nobody but us.
 */
function isKernelRight(facts: AttachmentFacts, attachment: Attachment, input: AttachmentInput): boolean {
  if (isOneLease(facts, attachment)) return true;
  const [isItsLive, isOursLive] = [input.isLeased(facts), input.isLeased(attachment)];
  return isItsLive === isOursLive ? !input.hasLooked : isItsLive;
}

interface Sorting {
  readonly input: AttachmentInput;
  readonly plan: Plan;
}

function sortFound(attachment: Attachment, pair: LinkPair, { input, plan }: Sorting): void {
  const isFree = input.ports.get(attachment.portName)?.externalIds[ROLE_MARK] === WARM_ROLE;
  if (isFree) plan.doubtful.push(attachment);
  else if (hasItsEnds(pair, input)) plan.unplugged.push(attachment);
  else plan.broken.push(attachment);
}

/** Under whatever name: names are put right before anything is plugged in. */
function hasItsEnds({ near, far }: LinkPair, { isFarInPanel }: AttachmentInput): boolean {
  return near !== undefined && (far !== undefined || !isFarInPanel);
}

/** What the aliases of a pair say. Without macvlan only the near end is there. */
export function factsOfPair({ near, far }: LinkPair): AttachmentFacts | undefined {
  return factsOf(far?.alias, near?.alias) ?? factsOf(near?.alias, undefined);
}

function attachmentFrom(facts: AttachmentFacts, portName: string): Attachment {
  return { ...facts, portName, ofport: undefined };
}

function isSame(left: AttachmentFacts | undefined, right: AttachmentFacts): boolean {
  return left !== undefined && isSameFacts(left, right);
}

/** Pairs of which an end hangs on somebody else's bridge, bond or VRF. */
export function isCaptured(pair: LinkPair): boolean {
  return isNearCaptured(pair) || isFarCaptured(pair);
}

/** Pairs whose names, states, sizes or masters somebody has changed. */
export function isDamaged(pair: LinkPair, mtuBytes: number): boolean {
  const { near, far } = pair;
  if (isCaptured(pair)) return true;
  if (near === undefined || far === undefined) return false;
  return !isWhole(pair) || !near.up || !far.up || near.mtuBytes < mtuBytes || far.mtuBytes < mtuBytes;
}
