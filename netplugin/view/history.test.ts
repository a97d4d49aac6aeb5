import fc from "fast-check";
import { expect, it } from "vitest";
import type { EndpointReply } from "../../state/node-api.ts";
import { worldMessages } from "../../test/fakes/world.ts";
import { applyBatch, beginStream } from "./apply.ts";
import { applyEndpointReply } from "./early.ts";
import type { PutMessage, ViewMessage } from "./messages.ts";
import { emptyView, type NodeView } from "./node-view.ts";

/**
 * A store's history: event i (revision i + 1) puts or deletes one of a few endpoints. A node hears of it by streams of netmasters
 * that lag, cut off at any moment, and by replies that come late. Whatever the order, its view must never go back behind what it
 * has been told, and must be right once a stream has caught up.
 */
interface Event {
  readonly key: number;
  readonly isPut: boolean;
}

type Step =
  | { readonly does: "open"; readonly lag: number }
  | { readonly does: "list" | "follow" }
  | { readonly does: "reply"; readonly revision: number };

const KEYS = 4;
const eventArb = fc.record({ key: fc.nat(KEYS - 1), isPut: fc.boolean() });
const stepArb: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ does: fc.constant("open" as const), lag: fc.nat(6) }),
  fc.record({ does: fc.constantFrom("list" as const, "follow" as const, "follow" as const) }),
  fc.record({ does: fc.constant("reply" as const), revision: fc.nat(40) }),
);

function endpointPut(key: number, modRevision: number): PutMessage {
  const line = `endpoint e${key} t1:blue n1 10.1.1.${key + 1} epoch r${modRevision}`;
  const message = worldMessages(`network t1:blue vxlan 100 10.1.1.0/24\n${line}`).at(-1);
  if (message?.type !== "put") throw new Error("no put");
  return { ...message, modRevision: BigInt(modRevision) };
}

/** Revision of the version that exists at a revision, or undefined. */
function versionAt(events: readonly Event[], key: number, revision: number): number | undefined {
  const index = events.slice(0, revision).findLastIndex((event) => event.key === key);
  return events[index]?.isPut ? index + 1 : undefined;
}

/** The node and the stream it listens to. */
class Run {
  view: NodeView = emptyView();
  private readonly events: readonly Event[];
  private position = 0;
  private isListed = true;

  constructor(events: readonly Event[]) {
    this.events = events;
  }

  take(step: Step): void {
    if (step.does === "open") this.open(step.lag);
    if (step.does === "list" && !this.isListed) this.list();
    if (step.does === "follow" && this.isListed) this.follow();
    if (step.does === "reply") this.reply(Math.min(step.revision, this.events.length));
    this.check();
  }

  /** A stream of a netmaster that has heard this many events fewer than the store holds. */
  open(lag: number): void {
    this.view = beginStream(this.view);
    this.position = Math.max(0, this.events.length - lag);
    this.isListed = false;
  }

  list(): void {
    this.tell([...this.objectsAt(this.position), { type: "synced", revision: BigInt(this.position) }]);
    this.isListed = true;
  }

  follow(): void {
    const event = this.events[this.position];
    if (event === undefined) return;
    this.position++;
    const modRevision = BigInt(this.position);
    const message: ViewMessage = event.isPut
      ? endpointPut(event.key, this.position)
      : { type: "delete", kind: "endpoint", key: `e${event.key}`, modRevision };
    this.tell([message, { type: "bookmark", revision: modRevision }]);
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

  private tell(messages: readonly ViewMessage[]): void {
    this.view = applyBatch(this.view, messages).view;
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
    this.open(0);
    this.list();
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
    { numRuns: 300 },
  );
});
