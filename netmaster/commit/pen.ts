import { randomUUID } from "node:crypto";
import { MARK_KEY } from "../../state/keys.ts";
import type { Commit, CommitResult, Guard, Leadership, Store } from "../../state/store/store.ts";
import { newMark, type SeenMark } from "../view/mark.ts";

/** Operations, and guards, that the pen adds to each commit at most. */
export const PEN_OPERATIONS = 2;

/**
 * The one way in which a leader writes: each commit compares the leader key and the mark that the commit before it left, and leaves a new
 * one. A leader that was replaced cannot write, nor can anybody write on a store that was restored since.
 */
export class LeaderPen {
  readonly leadership: Leadership;
  #mark: SeenMark;
  #isOpen: boolean;

  constructor(leadership: Leadership, mark: SeenMark) {
    this.leadership = leadership;
    this.#mark = mark;
    this.#isOpen = mark.isOpen;
  }

  /** The value of the last mark. */
  get mark(): string {
    return this.#mark.value;
  }

  /** Have the nodes yet to say which addresses live, in this epoch of the store? */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** They have: the next commit tells later leaders. */
  settle(): void {
    this.#isOpen = false;
  }

  async commit(
    store: Pick<Store, "commit">,
    { guards = [], puts = [], deletes = [] }: Partial<Omit<Commit, "requestId">>,
  ): Promise<CommitResult> {
    const next = newMark(this.#mark.epoch, this.#isOpen);
    const fence: readonly Guard[] = [this.leadership.guard, { key: MARK_KEY, is: "value", value: this.#mark.value }];
    const result = await store.commit({
      requestId: randomUUID(),
      guards: [...fence, ...guards],
      puts: [...puts, { key: MARK_KEY, value: next.value }],
      deletes,
    });
    if (result.committed) this.#mark = next;
    return result;
  }
}
