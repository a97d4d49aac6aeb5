import { endpointKeyOf } from "../../../state/endpoint-key.ts";
import { infraContainerId } from "../../../state/infra.ts";
import type { NodeCondition } from "../../../state/kinds/node.ts";
import { createAlarm } from "../../../state/waiting/alarm.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { Changes } from "../../view/node-view.ts";
import { startTicketLoop } from "../loop/ticket-loop.ts";
import { infraConditions } from "./conditions.ts";
import { createRetries } from "./retries.ts";
import { infraOf, NO_ROUND, type RoundOptions, runRound } from "./round.ts";

export interface InfraOptions extends RoundOptions {
  /** Does the switch answer? */
  readonly isConnected: () => boolean;
  readonly signal: AbortSignal;
}

/** Keeps this node's ports in infra networks. */
export interface Infra {
  /** Look again. */
  kick(): void;
  /** Objects of the view have changed: looks again when that may concern infra networks. */
  onView(changes: Changes): void;
  /** Ports have changed: looks again when they are infra ports. */
  onPorts(): void;
  /** Links have changed: looks again when they are ours, or may make way for us. */
  onLinks(ifindexes: ReadonlySet<number>): void;
  conditions(): readonly NodeCondition[];
  readonly ended: Promise<void>;
}

/** Begins at once; ends with the signal. */
export function startInfra(options: InfraOptions): Infra {
  const retries = createRetries();
  const ownKeys = endpointKeyOf({ containerId: infraContainerId(options.nodeName), ifName: "" });
  let last = NO_ROUND;
  let portsSeen = "";

  const loop = startTicketLoop({
    work: async (_full, signal) => {
      portsSeen = summaryOf(options.attachments());
      if (!options.view().complete || !options.isConnected()) return;
      last = await runRound({ options, retries, last, signal });
      alarm.at(retries.nextAtMs());
    },
    signal: options.signal,
    report: ({ message }) =>
      options.log.error({ error: message }, "Infra networks cannot be compared; netplugin tries again"),
  });
  const alarm = createAlarm(() => loop.kick(), options.signal);

  return {
    kick: () => loop.kick(),
    onView: (changes) => {
      const concerns = [...changes.values()].some(({ kind, key }) =>
        kind === "endpoint" ? key.startsWith(ownKeys) : kind === "network" || kind === "node",
      );
      if (concerns) loop.kick();
    },
    onPorts: () => {
      if (summaryOf(options.attachments()) !== portsSeen) loop.kick();
    },
    onLinks: (changed) => {
      const isWaiting = last.refused.size > 0; // for an address of the node to go
      if (isWaiting || [...changed].some((ifindex) => last.ifindexes.has(ifindex))) loop.kick();
    },
    conditions: () => infraConditions(last),
    ended: loop.ended,
  };
}

/** Equal for equal infra ports. */
function summaryOf(attachments: ReadonlyMap<string, Attachment>): string {
  const ports = infraOf(attachments).map(({ portName, epoch, ofport }) => [portName, epoch, ofport]);
  return JSON.stringify(ports.sort());
}
