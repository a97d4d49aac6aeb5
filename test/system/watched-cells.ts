import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { monotonicNs, type Target, type Watch } from "../fakes/prober.ts";
import type { TablePod } from "./truth-table.ts";

/** What one pod asks of another without pause, in one family. */
export interface WatchedCell {
  readonly name: string;
  readonly watch: Watch;
}

export interface CellSpec {
  readonly from: TablePod;
  readonly to: TablePod;
  readonly protocol: Target["protocol"];
  readonly port: number;
}

/** How long after the answer to a write the last packet was sent that did not obey it, in milliseconds. */
export interface Turn {
  readonly cell: string;
  readonly effectMs: number;
}

export interface WatchedCells extends Disposable {
  /**
   * Makes a change and waits until every cell is as expected: true = packets pass. Cells that have turned are measured. A cell
   * without an expectation stays as it is.
   */
  expectAfter(change: () => Promise<unknown>, expected: Readonly<Record<string, boolean>>): Promise<void>;
  readonly turns: readonly Turn[];
}

const INTERVAL_MS = 20;
/** So many packets in a row must obey, all sent after the answer. */
const STEADY_COUNT = 8;
const STEADY_TIMEOUT_MS = 15_000;
/** Issue: "each change effective within 2 s". */
const EFFECT_MAX_MS = 2_000;

/** Watches each cell in both families; `cells`: name → who asks whom, several for what must behave alike. */
export function watchCells(cells: Readonly<Record<string, readonly CellSpec[]>>): WatchedCells {
  const all = Object.entries(cells).map(([name, specs]) => ({ name, watches: specs.flatMap(startWatches) }));
  const state = new Map<string, boolean>();
  const turns: Turn[] = [];
  return {
    turns,
    expectAfter: async (change, expected) => {
      await change();
      const answeredNs = monotonicNs();
      const before = new Map(state);
      for (const [name, passes] of Object.entries(expected)) state.set(name, passes);
      for (const { name, watches } of all) {
        const passes = state.get(name);
        if (passes === undefined) throw new Error(`Nothing is expected of ${name}`);
        for (const { name: cell, watch } of watches) {
          await untilSteady(cell, watch, { passes, sinceNs: answeredNs });
          if (before.get(name) !== !passes) continue;
          const effectMs = effectOf(watch, passes, answeredNs);
          turns.push({ cell, effectMs });
          expect(effectMs, `${cell}: time until it ${passes ? "passes" : "is denied"}`).toBeLessThan(EFFECT_MAX_MS);
        }
      }
    },
    [Symbol.dispose]: () => {
      for (const { watches } of all) for (const { watch } of watches) watch.stop();
    },
  };
}

function startWatches({ from, to, protocol, port }: CellSpec): readonly WatchedCell[] {
  return [to.ipv4, to.ipv6].map((host) => ({
    name: `${from.name} → ${to.name} ${host} ${protocol} ${port}`,
    watch: from.prober.watch({ protocol, host, port }, INTERVAL_MS),
  }));
}

interface Steadiness {
  readonly passes: boolean;
  readonly sinceNs: number;
}

async function untilSteady(cell: string, { probes }: Watch, { passes, sinceNs }: Steadiness): Promise<void> {
  const deadlineMs = performance.now() + STEADY_TIMEOUT_MS;
  for (;;) {
    const last = probes.slice(-STEADY_COUNT);
    const isSteady = last.every((probe) => probe.passed === passes && probe.sentNs > sinceNs);
    if (last.length === STEADY_COUNT && isSteady) return;
    if (performance.now() > deadlineMs) {
      const seen = last.map(({ passed }) => (passed ? "passed" : "silent")).join(" ");
      throw new Error(`${cell}: should ${passes ? "pass" : "be denied"}, and after ${STEADY_TIMEOUT_MS} ms: ${seen}`);
    }
    await sleep(10);
  }
}

/** When the first packet was sent that passes; or the last one that still does, of a cell that is denied now. */
function effectOf({ probes }: Watch, passes: boolean, answeredNs: number): number {
  const passed = probes.filter((probe) => probe.passed && probe.sentNs > answeredNs);
  const decisive = passes ? passed[0] : passed.at(-1);
  return decisive === undefined ? 0 : Math.max(0, decisive.sentNs - answeredNs) / 1e6;
}
