import type { PacketOut } from "../../../drivers/ovs/openflow/packet.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import { createAlarm } from "../../../state/waiting/alarm.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { flowContext } from "../../desired/engine/context.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { Machine } from "../../machine/machine.ts";
import { objectId } from "../../view/messages.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import { announcementOf } from "./packets.ts";
import { type Announcement, createAnnounceSchedule } from "./schedule.ts";

export interface AnnouncerOptions {
  readonly view: () => NodeView;
  readonly machine: () => Machine;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  /** Are the flows of this owner (`kind/key`) in the switch? */
  readonly isInstalled: (owner: string) => boolean;
  readonly generation: number;
  readonly send: (packet: PacketOut, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  readonly onOutcome: (outcome: "sent" | "failed" | "dropped") => void;
  readonly report: (error: NetError) => void;
}

/** Announces endpoints that have come to this node. */
export interface Announcer {
  /** To be called when flows have been installed; finds by itself what is new. */
  look(): void;
}

/** A node that starts 200 pods at once announces them within four seconds, and its neighbours have time to listen. */
const BURSTS_PER_SECOND = 50;
const BURSTS_MAX = 1_000;
const SEND_TIMEOUT_MS = 2_000;

/** What is attached already was announced by whoever attached it: a restart of this process is nobody's news. */
export function createAnnouncer(options: AnnouncerOptions): Announcer {
  const schedule = createAnnounceSchedule({ burstsPerSecond: BURSTS_PER_SECOND, burstsMax: BURSTS_MAX });
  const announced = epochsOf(options.attachments());
  const alarm = createAlarm(() => void sendDue(), options.signal);
  let sending = false;

  function look(): void {
    const attachments = options.attachments();
    for (const [endpointKey, { epoch }] of attachments) {
      if (announced.get(endpointKey) === epoch || !options.isInstalled(objectId("endpoint", endpointKey))) continue;
      announced.set(endpointKey, epoch);
      if (!schedule.add({ endpointKey, epoch }, performance.now())) options.onOutcome("dropped");
    }
    for (const endpointKey of announced.keys()) if (!attachments.has(endpointKey)) announced.delete(endpointKey);
    arm();
  }

  function arm(): void {
    alarm.at(sending ? undefined : schedule.nextAtMs());
  }

  async function sendDue(): Promise<void> {
    sending = true;
    for (const announcement of schedule.due(performance.now())) {
      if (options.signal.aborted) return;
      await sendOne(announcement);
    }
    sending = false;
    arm();
  }

  async function sendOne({ endpointKey, epoch }: Announcement): Promise<void> {
    const view = options.view();
    const endpoint = recordOf(view, "endpoint", endpointKey);
    if (endpoint?.epoch !== epoch) return;
    try {
      for (const packet of announcementOf(flowContext(view, options.machine(), options.generation), endpoint)) {
        using limit = deadline(SEND_TIMEOUT_MS, options.signal);
        await options.send(packet, limit.signal);
        options.onOutcome("sent");
      }
    } catch (error) {
      options.onOutcome("failed");
      if (!options.signal.aborted) options.report(asNetError(error, `announce endpoint ${endpointKey}`));
    }
  }

  return { look };
}

function epochsOf(attachments: ReadonlyMap<string, Attachment>): Map<string, string> {
  return new Map([...attachments].map(([key, { epoch }]) => [key, epoch]));
}
