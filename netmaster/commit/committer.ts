import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { asNetError, NetError } from "../../state/errors.ts";
import { Epoch } from "../../state/ids.ts";
import { MARK_KEY } from "../../state/keys.ts";
import type { CommitResult, Guard, Leadership, Store } from "../../state/store/store.ts";
import type { ViewCache } from "../view/cache.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import type { ClusterView, Intent, IntentContext } from "../view/types.ts";
import { Group } from "./group.ts";
import type { LeaderPen } from "./pen.ts";
import { type Committed, type Pending, RequestQueue } from "./queue.ts";
import { repairAfterConflict } from "./repair.ts";

export interface SubmitOptions {
  /** Default 10 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Plan only: the reply and the view as they would be. */
  readonly dryRun?: boolean;
}

/** The way from an intent to the store. Only the leader's committer takes requests. */
export interface Committer {
  /**
   * Plans the request on the newest view and commits it together with others. Resolves when the local view shows it.
   * Rejects with what the intent threw; UNAVAILABLE (not the leader, overloaded, store away: nothing was changed); TIMEOUT (the
   * change may have been made).
   */
  submit<Request, Reply>(
    intent: Intent<Request, Reply>,
    request: Request,
    options?: SubmitOptions,
  ): Promise<Committed<Reply>>;
  isLeading(): boolean;
  /** Takes requests from now on, until the leadership is lost or `stepDown`. The view must show the pen's mark. */
  lead(pen: LeaderPen): void;
  /** Rejects what waits and takes no more. */
  stepDown(): void;
  /** Requests that wait. */
  readonly depth: number;
}

/** What one group came to, for metrics. */
export interface GroupReport {
  readonly requestCount: number;
  readonly durationMs: number;
  readonly outcome: "committed" | "conflict" | "failed";
  /** Why it failed. */
  readonly error?: NetError;
}

export interface CommitterOptions {
  readonly store: Pick<Store, "get" | "commit">;
  readonly cache: ViewCache;
  readonly onGroup?: (report: GroupReport) => void;
  /** Something was repaired or retried that should not have been necessary. */
  readonly onAnomaly?: (message: string) => void;
  readonly queueLimit?: number;
  /** Why no new address may be handed out now. */
  readonly addressHold?: { reason(view: ClusterView): string | undefined };
}

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_QUEUE_LIMIT = 4_096;
/** How long the local view may take to show what was committed. */
const VIEW_TIMEOUT_MS = 10_000;
const MAX_ATTEMPTS = 3;

export function createCommitter(options: CommitterOptions): Committer {
  return new GroupCommitter(options);
}

class GroupCommitter implements Committer {
  readonly #options: CommitterOptions;
  readonly #queue: RequestQueue;
  #leadership: Leadership | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#queue = new RequestQueue(options.queueLimit ?? DEFAULT_QUEUE_LIMIT);
  }

  get depth(): number {
    return this.#queue.depth;
  }

  isLeading(): boolean {
    return this.#leadership?.valid() ?? false;
  }

  async submit<Request, Reply>(
    intent: Intent<Request, Reply>,
    request: Request,
    { timeoutMs = DEFAULT_TIMEOUT_MS, signal, dryRun = false }: SubmitOptions = {},
  ): Promise<Committed<Reply>> {
    if (!this.isLeading()) throw notLeading();
    const plan = (view: ClusterView, context: IntentContext) => intent(view, request, context);
    const context = this.#newContext();
    if (dryRun) return preview((view) => plan(view, context), this.#options.cache.view());
    return await this.#queue.add(plan, context, { timeoutMs, signal });
  }

  #newContext(): IntentContext {
    return {
      now: new Date().toISOString(),
      newEpoch: () => Epoch.parse(randomBytes(12).toString("base64url")),
      addressHold: this.#options.addressHold?.reason(this.#options.cache.view()),
    };
  }

  lead(pen: LeaderPen): void {
    this.#leadership = pen.leadership;
    void this.#run(pen);
  }

  stepDown(): void {
    this.#leadership = undefined;
    this.#queue.rejectAll(notLeading());
  }

  async #run(pen: LeaderPen): Promise<void> {
    const { leadership } = pen;
    while (leadership.valid() && this.#leadership === leadership) {
      await this.#queue.arrival(leadership.lost);
      if (!leadership.valid() || this.#leadership !== leadership) break;
      const group = this.#nextGroup(this.#options.cache.view());
      await this.#commitGroup(pen, group);
    }
    if (this.#leadership === leadership) this.stepDown();
  }

  /** Takes requests from the queue as far as one transaction holds them. What fails its checks fails alone. */
  #nextGroup(base: FrozenView): { readonly group: Group; readonly members: readonly Member[] } {
    const group = new Group(base);
    const members: Member[] = [];
    for (let pending = this.#queue.peek(); pending !== undefined; pending = this.#queue.peek()) {
      if (members.some((member) => member.pending.attempts > 0) || (pending.attempts > 0 && members.length > 0)) break;
      const fits = tryAdd(group, pending, members);
      if (!fits) break;
      this.#queue.shift();
    }
    return { group, members };
  }

  async #commitGroup(pen: LeaderPen, { group, members }: GroupInHand): Promise<void> {
    if (members.length === 0) return;
    if (group.isEmpty) return settle(members, group.head, group.head.revision);
    const startedMs = performance.now();
    for (const { pending } of members) pending.isSent = true;
    const ended = await this.#send(pen, group, members).then(
      (outcome) => ({ outcome }),
      (thrown: unknown) => {
        const error = asNetError(thrown, "commit a change");
        this.#fail(pen.leadership, members, error);
        return { outcome: "failed" as const, error };
      },
    );
    this.#options.onGroup?.({ requestCount: members.length, durationMs: performance.now() - startedMs, ...ended });
  }

  async #send(pen: LeaderPen, group: Group, members: readonly Member[]): Promise<"committed" | "conflict"> {
    const operations = group.operations();
    if (operations.puts.length + operations.deletes.length === 0) {
      settle(members, group.head, group.head.revision); // what was made in this group was also removed in it
      return "committed";
    }
    const result = await pen.commit(this.#options.store, operations);
    if (!result.committed) {
      await this.#afterConflict(pen, members, result);
      return "conflict";
    }
    const view = await this.#options.cache.waitForRevision(result.revision, { timeoutMs: VIEW_TIMEOUT_MS });
    settle(members, view, result.revision);
    return "committed";
  }

  /** A guard did not hold: somebody else leads, the store is another one, or somebody wrote behind our back; then each is tried alone. */
  async #afterConflict(
    pen: LeaderPen,
    members: readonly Member[],
    { failed }: Extract<CommitResult, { committed: false }>,
  ): Promise<void> {
    const { leadership } = pen;
    if (failed.some((guard) => guard.key === leadership.key)) return this.#giveUp(leadership, members, notLeading());
    if (failed.some((guard) => guard.key === MARK_KEY)) {
      const isPresent = this.#leadership === leadership;
      this.#giveUp(leadership, members, storeReplaced());
      if (isPresent) this.#options.cache.distrust("it does not hold the last write of its leader");
      return;
    }
    this.#options.onAnomaly?.(`a commit met what our view did not show: ${failed.map(describeGuard).join(", ")}`);
    const repairs = await repairAfterConflict(this.#options, pen, failed);
    for (const repair of repairs) this.#options.onAnomaly?.(repair);
    for (const { pending } of members) {
      pending.attempts += 1;
      pending.isSent = false;
      if (pending.attempts >= MAX_ATTEMPTS) pending.reject(changedBehindUs(failed));
    }
    this.#queue.unshift(members.map((member) => member.pending).filter((pending) => !pending.isSettled()));
  }

  /** A commit may be answered when its leadership is over and the next one has begun: that one stays. */
  #giveUp(leadership: Leadership, members: readonly Member[], error: NetError): void {
    if (this.#leadership === leadership) this.stepDown();
    for (const { pending } of members) pending.reject(error);
    void leadership.resign().catch(() => undefined);
  }

  /** The outcome may be unknown: only a new epoch makes sure that nothing of it happens later, so the leader starts anew. */
  #fail(leadership: Leadership, members: readonly Member[], error: NetError): void {
    if (error.code === "UNAVAILABLE") {
      for (const { pending } of members) pending.reject(error);
      return;
    }
    this.#options.onAnomaly?.(`gave up the leadership because a commit has no certain outcome: ${error.message}`);
    this.#giveUp(leadership, members, error);
  }
}

interface Member {
  readonly pending: Pending;
  readonly reply: unknown;
}

interface GroupInHand {
  readonly group: Group;
  readonly members: readonly Member[];
}

/** False when the request must wait for the next group. */
function tryAdd(group: Group, pending: Pending, members: Member[]): boolean {
  try {
    const plan = pending.plan(group.head);
    if (!group.add(plan)) {
      if (members.length > 0) return false;
      throw new NetError("INTERNAL", "The request needs more operations than one transaction has");
    }
    members.push({ pending, reply: plan.reply });
  } catch (error) {
    pending.reject(asNetError(error, "plan the change"));
  }
  return true;
}

function settle(members: readonly Member[], view: ClusterView, revision: bigint): void {
  for (const { pending, reply } of members) pending.resolve({ reply, revision, view });
}

function preview<Reply>(
  plan: (view: ClusterView) => ReturnType<Intent<unknown, Reply>>,
  view: FrozenView,
): Committed<Reply> {
  const group = new Group(view);
  const planned = plan(view);
  group.add(planned);
  return { reply: planned.reply, revision: view.revision, view: group.head };
}

function notLeading(): NetError {
  return new NetError("UNAVAILABLE", "This netmaster does not lead; nothing was changed, try again shortly", {
    reason: "not-leader",
  });
}

function storeReplaced(): NetError {
  const text =
    "The store is older than what this netmaster knows, or another one: it was restored or replaced. Nothing was changed; it is read anew, try again shortly";
  return new NetError("UNAVAILABLE", text, { reason: "store-replaced" });
}

function changedBehindUs(failed: readonly Guard[]): NetError {
  const keys = failed.map((guard) => guard.key).join(", ");
  return new NetError(
    "UNAVAILABLE",
    `The store holds something else than this netmaster knows of: ${keys}; nothing was changed, try again`,
  );
}

function describeGuard(guard: Guard): string {
  return `"${guard.key}" is not ${guard.is}`;
}
