import fc from "fast-check";
import { expect, it } from "vitest";
import type { EndpointReply } from "../../state/node-api.ts";
import { worldMessages } from "../../test/fakes/world.ts";
import { applyBatch, beginStream } from "./apply.ts";
import { applyEndpointReply } from "./early.ts";
import type { PutMessage, ViewMessage } from "./messages.ts";
import { emptyView, type NodeView } from "./node-view.ts";

/**
 * A store's history: event i (revision i + 1) puts or deletes one of a few endpoints, or moves it out of the node's scope and back. A node hears of it by streams of netmasters
 * that lag, that send of each object only the latest and in any order, and are cut off at any moment; and by replies that come late. Whatever the order, its view must never go back behind what it
 * has been told, and must be right once a stream has caught up.
 */
interface Event {
  readonly key: number;
  readonly does: "put" | "drop" | "hide" | "show";
}

type Step =
  | { readonly does: "open"; readonly lag: number }
  | { readonly does: "hear"; readonly events: number }
  | { readonly does: "send"; readonly objects: number }
  | { readonly does: "reply"; readonly revision: number };

const KEYS = 4;
const eventArb: fc.Arbitrary<Event> = fc.record({
  key: fc.nat(KEYS - 1),
  does: fc.constantFrom("put", "drop", "hide", "show"),
});
const stepArb: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ does: fc.constant("open" as const), lag: fc.nat(6) }),
  fc.record({ does: fc.constant("hear" as const), events: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ does: fc.constant("send" as const), objects: fc.integer({ min: 1, max: KEYS }) }),
  fc.record({ does: fc.constant("reply" as const), revision: fc.nat(40) }),
);

function endpointPut(key: number, modRevision: number): PutMessage {
  const line = `endpoint e${key} t1:blue n1 10.1.1.${key + 1} epoch r${modRevision}`;
  const message = worldMessages(`network t1:blue vxlan 100 10.1.1.0/24\n${line}`).at(-1);
  if (message?.type !== "put") throw new Error("no put");
  return { ...message, modRevision: BigInt(modRevision) };
}

interface Truth {
  /** Revision of the object's last put, while it exists. */
  readonly version: number | undefined;
  readonly isVisible: boolean;
}

function truthAt(events: readonly Event[], key: number, revision: number): Truth {
  let truth: Truth = { version: undefined, isVisible: true };
  for (const [index, event] of events.slice(0, revision).entries()) {
    if (event.key !== key) continue;
    if (event.does === "put") truth = { ...truth, version: index + 1 };
    if (event.does === "drop") truth = { ...truth, version: undefined };
    if (event.does === "hide" || event.does === "show") truth = { ...truth, isVisible: event.does === "show" };
  }
  return truth;
}

/** Revision of the version that is in the node's scope at a revision, or undefined. */
function versionAt(events: readonly Event[], key: number, revision: number): number | undefined {
  const { version, isVisible } = truthAt(events, key, revision);
  return isVisible ? version : undefined;
}

/** The node and the stream it listens to. */
class Run {
  view: NodeView = emptyView();
  private readonly events: readonly Event[];
  /** What the stream's netmaster has heard of, what it has not yet told of that, and whether its list is complete. */
  private position = 0;
  private dirty = new Set<number>();
  private isListed = false;

  constructor(events: readonly Event[]) {
    this.events = events;
  }

  take(step: Step): void {
    if (step.does === "open") this.open(step.lag);
    if (step.does === "hear") this.hear(step.events);
    if (step.does === "send") this.send(step.objects);
    if (step.does === "reply") this.reply(Math.min(step.revision, this.events.length));
    this.check();
  }

  /** A stream of a netmaster that has heard this many events fewer than the store holds. */
  open(lag: number): void {
    this.view = beginStream(this.view);
    this.position = Math.max(0, this.events.length - lag);
    this.dirty = new Set(Array.from({ length: KEYS }, (_, key) => key));
    this.isListed = false;
  }

  private hear(count: number): void {
    for (const { key } of this.events.slice(this.position, this.position + count)) this.dirty.add(key);
    this.position = Math.min(this.events.length, this.position + count);
  }

  /** Some objects as they are now; once nothing is left to tell, the revision that this is complete for. */
  send(count: number): void {
    const keys = [...this.dirty].slice(0, count);
    const messages = keys.flatMap((key) => this.messageOf(key));
    for (const key of keys) this.dirty.delete(key);
    if (this.dirty.size === 0) {
      messages.push({ type: this.isListed ? "bookmark" : "synced", revision: BigInt(this.position) });
      this.isListed = true;
    }
    this.view = applyBatch(this.view, messages).view;
  }

  private messageOf(key: number): ViewMessage[] {
    const { version, isVisible } = truthAt(this.events, key, this.position);
    if (version !== undefined && isVisible) return [endpointPut(key, version)];
    return [{ type: "delete", kind: "endpoint", key: `e${key}`, modRevision: BigInt(version ?? this.position) }];
  }

  private reply(revision: number): void {
    const [message] = this.objectsAt(revision);
    if (message === undefined) return;
    const { record, ...put } = message;
    const reply: EndpointReply = {
      endpoint: record as EndpointReply["endpoint"],
      ipv4: { address: "10.1.1.1/24" },
      routes: [],
      mtuBytes: 1450,
      revision: String(revision),
      objects: [{ ...put, modRevision: String(put.modRevision), object: record }],
    };
    this.view = applyEndpointReply(this.view, reply).view;
  }

  private objectsAt(revision: number): PutMessage[] {
    const keys = Array.from({ length: KEYS }, (_, key) => [key, versionAt(this.events, key, revision)] as const);
    return keys.flatMap(([key, version]) => (version === undefined ? [] : [endpointPut(key, version)]));
  }

  /** What is held is no older than the view's revision; what is not held was absent then, or is absent later. */
  private check(): void {
    const revision = Number(this.view.revision);
    for (let key = 0; key < KEYS; key++) {
      const held = this.view.tables.get("endpoint")?.get(`e${key}`);
      const version = held === undefined ? undefined : Number(held.modRevision);
      const possible = new Set<number | undefined>();
      for (let at = revision; at <= this.events.length; at++) possible.add(versionAt(this.events, key, at));
      if (this.view.complete || version !== undefined) expect(possible).toContain(version);
    }
  }

  /** With everything told, the view is the store's state. */
  finish(): void {
    this.hear(this.events.length);
    this.send(KEYS);
    const held = [...(this.view.tables.get("endpoint")?.values() ?? [])].map(({ modRevision }) => Number(modRevision));
    const wanted = this.objectsAt(this.events.length).map(({ modRevision }) => Number(modRevision));
    expect(held).toEqual(wanted);
  }
}

it("never goes back, and arrives, whatever the order of streams and replies", () => {
  fc.assert(
    fc.property(
      fc.array(eventArb, { maxLength: 30, size: "max" }),
      fc.array(stepArb, { maxLength: 60, size: "max" }),
      (events, steps) => {
        const run = new Run(events);
        run.open(events.length);
        for (const step of steps) run.take(step);
        run.finish();
      },
    ),
    { numRuns: 150 },
  );
});
