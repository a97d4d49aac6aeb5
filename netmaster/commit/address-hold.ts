import type { NodeRegistration } from "../../state/kinds/node.ts";
import type { Heartbeats } from "../node-reports/heartbeats.ts";
import type { ClusterView } from "../view/types.ts";
import type { LeaderPen } from "./pen.ts";

/** The nodes that the store does not know need so long to be heard: to open a watch stream, to register, to offer what they have. */
const UNKNOWN_NODES_MS = 4_000;
const NAMED_MAX = 3;

type EpochPen = Pick<LeaderPen, "isOpen" | "settle">;

export interface AddressHoldOptions {
  readonly heartbeats: Pick<Heartbeats, "receipt" | "listen" | "settledEpoch" | "isSilent" | "nodeTimeoutMs">;
  readonly nowMs: () => number;
}

/**
 * At the beginning of an epoch the store may be older than what lives: no new address is handed out before the nodes have offered the
 * attachments that the store lacks. A node that is silent for as long as makes it unreachable is not waited for, nor is one that has not said
 * so for as long and whose switch is away: it may never have seen what is attached there.
 */
export class AddressHold {
  readonly #options: AddressHoldOptions;
  #pen: EpochPen | undefined;
  #sinceMs = 0;

  constructor(options: AddressHoldOptions) {
    this.#options = options;
  }

  /** A leadership begins. Where nothing is leased and no network is there to lease from, nothing can be lacking. */
  begin(pen: EpochPen, view: ClusterView): void {
    this.#options.heartbeats.listen();
    if (pen.isOpen && view.records("network").size === 0) pen.settle();
    this.#pen = pen.isOpen ? pen : undefined;
    this.#sinceMs = this.#options.nowMs();
  }

  /** Why no new address is handed out now; undefined when it may be. */
  reason(view: ClusterView): string | undefined {
    if (this.#pen === undefined) return undefined;
    const awaited = this.#awaited(view);
    const leftMs = this.#sinceMs + UNKNOWN_NODES_MS - this.#options.nowMs();
    if (awaited.length === 0 && leftMs <= 0) {
      this.#pen.settle();
      this.#pen = undefined;
      return undefined;
    }
    const who =
      awaited.length === 0
        ? "nodes that it may not know"
        : `${awaited.length} nodes, first ${awaited.slice(0, NAMED_MAX).join(", ")}`;
    return `The store may have been restored, so new addresses wait until the nodes have said which ones their pods hold (waiting for ${who}); nothing was changed, try again shortly`;
  }

  #awaited(view: ClusterView): readonly string[] {
    const { heartbeats, nowMs } = this.#options;
    const isLate = nowMs() >= this.#sinceMs + heartbeats.nodeTimeoutMs;
    const isWaiting = (name: string) => heartbeats.receipt(name) === undefined; // of a node with a switch each heartbeat has one
    const nodes = [...view.records("node").entries()].filter(
      ([, { state, registration }]) =>
        state === "ready" && !(isLate && isPowerless(registration) && isWaiting(registration.name)),
    );
    const names = nodes.map(([name]) => name);
    return names.filter((name) => !heartbeats.isSilent(name) && heartbeats.settledEpoch(name) !== view.epoch);
  }
}

/** No driver of the node can do anything now. Agents of earlier releases do not register without a switch. */
function isPowerless({ drivers }: NodeRegistration): boolean {
  return drivers !== undefined && Object.values(drivers).every((driver) => driver?.fault !== undefined);
}
