import type { NetworkDriver, Slot } from "../../drivers/driver.ts";
import type { NetnsHandle } from "../../drivers/netlink/netns.ts";
import { type ContainerInterface, endpointKeyOf, endpointKeysOf } from "../../state/endpoint-key.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import type { AddRequest } from "../cni/request.ts";
import { knownNeighbours } from "../desired/known-neighbours.ts";
import { type Attachment, type AttachmentFacts, attachmentMarks, POD_ROLE } from "../machine/attachment.ts";
import { leaseMark } from "../machine/lease-mark.ts";
import { type AttachingNode, networkDriverOf } from "./attaching-node.ts";
import { attachmentsFor, detachOne, endUnattached, releaseOf } from "./detach.ts";
import { lease } from "./lease-request.ts";
import type { Leased, Made } from "./made.ts";
import { podLink } from "./result.ts";

/** One CNI call's wishes for one pod. */
export interface Call {
  readonly call: ContainerInterface;
  readonly netns: NetnsHandle;
  readonly wishes: readonly AddRequest[];
}

const UNDO_TIMEOUT_MS = 20_000;
/** The network says which driver; it is not known before the lease is. */
const LIKELY_DRIVER = "ovs";

/**
 * Attaches a pod as all wishes say, or not at all: what fails takes back what this call has made. What an earlier, repeated call has made
 * stays. A call with several wishes is noted down until all is done, so that a process that is killed on the way leaves no half behind.
 */
export async function attachAll(node: AttachingNode, call: Call, signal: AbortSignal): Promise<readonly Made[]> {
  using _pending = pendingAll(node, call.wishes);
  const reserved = call.wishes.map((wish) => new Reservation(node, wish, signal));
  const leases = new Map<AddRequest, EndpointReply>();
  try {
    const leased = await all(
      call.wishes.map(async (wish) => {
        const reply = await lease(node, wish, signal);
        leases.set(wish, reply);
        return { wish, reply };
      }),
    );
    const existing = await all(leased.map((each) => adoptable(node, each, signal)));
    const missing = leased.filter((_, index) => existing[index] === undefined);
    const made = missing.length === 0 ? [] : await attachMissing(node, { ...call, missing, reserved, leases }, signal);
    node.unfinished.end(call.call); // of an earlier call of that name, too, which could not be taken back
    return call.wishes.flatMap((wish) => [...existing, ...made].find((each) => each?.wish === wish) ?? []);
  } catch (error) {
    await Promise.all(call.wishes.map((wish) => releaseFailed(node, wish, leases.get(wish))));
    throw error;
  } finally {
    for (const each of reserved) each[Symbol.dispose]();
  }
}

/** Waits for all of them, then fails with the first failure, which tells of the others. */
async function all<T>(works: readonly Promise<T>[]): Promise<readonly T[]> {
  const outcomes = await Promise.allSettled(works);
  const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  if (failures.length > 0) throw together(failures);
  return outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
}

/** The first failure as it is, when the others say the same: all of them end with one signal. */
function together(failures: readonly unknown[]): unknown {
  const [first] = failures;
  const [error, ...others] = failures.map((each) => asNetError(each, "attach the pod"));
  const more = new Set(others.map(({ message }) => message));
  more.delete(error?.message ?? "");
  if (error === undefined || more.size === 0) return first;
  const { code, field, reason, blockers } = error;
  return new NetError(code, [error.message, ...more].join("; also: "), {
    cause: new AggregateError(failures, "Several parts of one call failed"),
    ...(field === undefined ? {} : { field }),
    ...(reason === undefined ? {} : { reason }),
    ...(blockers === undefined ? {} : { blockers }),
  });
}

function pendingAll({ leases, nodeName }: AttachingNode, wishes: readonly ContainerInterface[]): Disposable {
  const pending = wishes.flatMap((wish) => endpointKeysOf(wish, nodeName).map((key) => leases.pending(key)));
  return {
    [Symbol.dispose]: () => {
      for (const each of pending) each[Symbol.dispose]();
    },
  };
}

/** A place that is sought while the lease is, unless the pod seems to be attached already. */
class Reservation implements Disposable {
  readonly wish: AddRequest;
  readonly #node: AttachingNode;
  readonly #sought: { readonly driver: NetworkDriver; readonly slot: Promise<Slot | NetError> }[] = [];

  constructor(node: AttachingNode, wish: AddRequest, signal: AbortSignal) {
    this.#node = node;
    this.wish = wish;
    const likely = node.drivers.get(LIKELY_DRIVER);
    if (likely !== undefined && attachmentsFor(node, wish).length === 0) void this.#seek(likely, signal);
  }

  /** A place of the driver that the lease's network has. */
  async slotFor(reply: EndpointReply, signal: AbortSignal): Promise<{ driver: NetworkDriver; slot: Slot }> {
    const driver = networkDriverOf(this.#node, reply.endpoint);
    const slot = await (this.#sought.find((each) => each.driver === driver)?.slot ?? this.#seek(driver, signal));
    if (slot instanceof NetError) throw slot;
    return { driver, slot };
  }

  #seek(driver: NetworkDriver, signal: AbortSignal): Promise<Slot | NetError> {
    const { deviceId } = this.wish;
    const slot = driver
      .reserve({ underlay: undefined, deviceId }, signal)
      .catch((error: unknown) => asNetError(error, "take a place for the pod"));
    this.#sought.push({ driver, slot });
    return slot;
  }

  /** Gives back what no attachment has begun on. */
  [Symbol.dispose](): void {
    for (const { slot } of this.#sought) {
      void slot.then((found) => (found instanceof NetError ? undefined : found[Symbol.dispose]()));
    }
  }
}

interface Missing extends Call {
  readonly missing: readonly Leased[];
  readonly reserved: readonly Reservation[];
  /** That still stand. */
  readonly leases: Map<AddRequest, EndpointReply>;
}

async function attachMissing(node: AttachingNode, call: Missing, signal: AbortSignal): Promise<readonly Made[]> {
  const isNoted = call.wishes.length > 1;
  if (isNoted) node.unfinished.begin(call.call);
  try {
    const begun = await all(call.missing.map((each) => begin({ ...each, call }, signal)));
    await all(begun.map((each) => finish(node, each, signal)));
    signal.throwIfAborted();
    return begun;
  } catch (error) {
    const undone = await Promise.all(call.missing.map(({ wish }) => undo(node, wish, call.leases)));
    if (isNoted && undone.every(Boolean)) node.unfinished.end(call.call);
    throw error;
  }
}

interface Begun extends Made {
  readonly driver: NetworkDriver;
  readonly key: string;
  readonly netns: NetnsHandle;
}

/** Makes a place the pod's: from now on a restart of this process knows of it. */
async function begin({ wish, reply, call }: Leased & { readonly call: Missing }, signal: AbortSignal): Promise<Begun> {
  const reservation = call.reserved.find((each) => each.wish === wish);
  if (reservation === undefined) throw new NetError("INVALID", `No place was sought for ${endpointKeyOf(wish)}`);
  const { driver, slot } = await reservation.slotFor(reply, signal);
  const facts = factsOf(wish, reply, call.call);
  await driver.begin(slot, { ...attachmentMarks(facts), ...leaseMark(reply, wish.mtuBytes || reply.mtuBytes) });
  return { wish, reply, driver, key: slot.key, hostDevice: slot.hostDevice, netns: call.netns };
}

/** The pod's interface is made while flows and limits are installed. */
async function finish(
  node: AttachingNode,
  { wish, reply, driver, key, netns }: Begun,
  signal: AbortSignal,
): Promise<void> {
  node.holder.applyReply(reply);
  const link = { ...podLink(wish, reply), neighbours: knownNeighbours(node, reply.ipv6?.gateway) };
  await all<void>([
    driver.attach(key, { netns, link }, signal),
    enforced(node, reply, signal),
    node.limits.enforced(reply.endpoint.key, signal),
  ]);
}

/** A pod with a group is answered when the stream has brought all that its policies name, up to the revision of its lease. */
async function enforced(
  { holder, flows }: AttachingNode,
  { endpoint, revision, storeEpoch }: EndpointReply,
  signal: AbortSignal,
): Promise<void> {
  if (endpoint.groupName !== "") await holder.reached(BigInt(revision), storeEpoch, signal);
  await flows.enforced(endpoint.key, signal);
}

function factsOf(wish: AddRequest, { endpoint }: EndpointReply, call: ContainerInterface): AttachmentFacts {
  const { containerId, ifName, configName, netns } = wish;
  const ofCall = call.ifName === ifName ? {} : { callIfName: call.ifName };
  const names = { containerId, ifName, ...ofCall, configName, netnsPath: netns };
  return { endpointKey: endpoint.key, epoch: endpoint.epoch, role: POD_ROLE, ...names };
}

function hostDeviceOf(node: AttachingNode, attachment: Attachment): string {
  const { portName } = attachment;
  return networkDriverOf(node, attachment).read().get(portName)?.hostDevice ?? portName;
}

/** Takes back what was made for one wish, and ends its lease. False: something of it may be left. */
async function undo(node: AttachingNode, wish: AddRequest, leases: Map<AddRequest, EndpointReply>): Promise<boolean> {
  try {
    const options = { netnsPath: wish.netns, signal: AbortSignal.timeout(UNDO_TIMEOUT_MS) };
    for (const attachment of attachmentsFor(node, wish)) {
      await detachOne(node, attachment, options);
      if (attachment.epoch === leases.get(wish)?.endpoint.epoch) leases.delete(wish);
    }
    return true;
  } catch (error) {
    const { message } = asNetError(error, "take the pod off the network");
    node.log.warn({ container: wish.containerId, error: message }, "A failed ADD cannot be undone");
    return false;
  }
}

/** The lease of an ADD that did not get as far as its port; one whose port is plugged in is the runtime's to DEL. */
async function releaseFailed(node: AttachingNode, wish: AddRequest, reply: EndpointReply | undefined): Promise<void> {
  if (attachmentsFor(node, wish).length > 0) return;
  const signal = AbortSignal.timeout(UNDO_TIMEOUT_MS);
  try {
    if (reply === undefined) await endUnattached(node, wish, signal);
    else await node.leases.end(reply.endpoint, signal); // the stream may not have told of it yet
  } catch (error) {
    const { message } = asNetError(error, "release the lease");
    node.log.warn(
      { endpoint: endpointKeyOf(wish), error: message },
      "A failed ADD cannot be undone now; the next comparison of leases does it",
    );
  }
}

/** A repeated ADD: the pod that has this lease already and is as it should be keeps its interface; a stale port goes. */
async function adoptable(node: AttachingNode, leased: Leased, signal: AbortSignal): Promise<Made | undefined> {
  for (const attachment of attachmentsFor(node, leased.wish)) {
    if (await isAdopted(node, attachment, { ...leased, signal })) {
      return { ...leased, hostDevice: hostDeviceOf(node, attachment) };
    }
  }
  return undefined;
}

async function isAdopted(
  node: AttachingNode,
  attachment: Attachment,
  { wish, reply, signal }: Leased & { readonly signal: AbortSignal },
): Promise<boolean> {
  const driver = networkDriverOf(node, attachment);
  const { portName, ifName, netnsPath } = attachment;
  try {
    if (attachment.epoch !== reply.endpoint.epoch) throw new NetError("CONFLICT", "it belongs to an earlier lease");
    await driver.check(portName, wish.netns, podLink(wish, reply), signal);
    return true;
  } catch (error) {
    const { code, message: reason } = asNetError(error, "adopt");
    if (code !== "CONFLICT") throw error; // nobody knows what is wrong with it, if anything is
    node.log.info(
      { endpoint: attachment.endpointKey, reason },
      "The pod has a port of an earlier attachment; it is replaced",
    );
    await driver.detach(portName, { netnsPaths: [wish.netns, netnsPath], ifName }, signal);
    releaseOf(node, attachment);
    return false;
  }
}
