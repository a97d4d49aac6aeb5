import { NetError } from "../../state/errors.ts";
import { rejected } from "./errno.ts";
import { close, type Inbox } from "./libc.ts";
import {
  type Acknowledgement,
  encodeBatch,
  type Message,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  type Query,
  type Received,
  readAcknowledgement,
  readDone,
} from "./message.ts";
import type { NetnsHandle } from "./netns.ts";
import {
  createDatagramInbox,
  NETLINK_GENERIC,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  openDescriptor,
  receiveNow,
  receiveWaiting,
  sendBatch,
} from "./transport.ts";

const PROTOCOLS = { route: NETLINK_ROUTE, generic: NETLINK_GENERIC, netfilter: NETLINK_NETFILTER } as const;

export interface NetlinkOptions {
  /** The namespace to work in; the caller's own when absent. The handle may be disposed of afterwards. */
  readonly netns?: NetnsHandle | undefined;
  /** Deadline of one request, its wait for a thread included. */
  readonly timeoutMs?: number;
  readonly family?: keyof typeof PROTOCOLS;
}

/** What an abort does: a request that is not sent yet is dropped; one that is sent is awaited until its deadline. */
export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
}

/** An answer to one message of a batch: an echo of what was made, or the object that was asked for. */
export interface Echoed {
  readonly messageIndex: number;
  readonly type: number;
  readonly body: Buffer;
}

/** What became of one message of a batch. */
export interface Outcome {
  readonly error: NetError | undefined;
  /** The kernel's remark on a message that succeeded. */
  readonly warning: string | undefined;
  readonly echoes: readonly Echoed[];
}

/** One socket, one request at a time: a second one before the first has ended is refused (INTERNAL). */
export interface NetlinkSocket extends Disposable {
  /**
   * Sends all messages at once. Not a transaction: the kernel goes on after a failed message. The error of the first
   * that failed is thrown: REJECTED, `reason` its errno, the kernel's own text in the message.
   */
  execute(batch: readonly Message[], options?: RequestOptions): Promise<Echoed[]>;
  /** The same, telling what became of each message. */
  settle(batch: readonly Message[], options?: RequestOptions): Promise<Outcome[]>;
  /** All rows of a table, as one consistent picture. */
  dump<Row>(query: Query<Row>, options?: RequestOptions): Promise<Row[]>;
  /** The one object asked for; REJECTED with ENODEV, ENOENT … when it is absent. */
  get<Row>(query: Query<Row>, options?: RequestOptions): Promise<Row>;
  /** False once it is closed, or out of step with the kernel after a timeout: make a new one. */
  readonly usable: boolean;
}

/** Default deadline of a request. */
export const TIMEOUT_MS = 5_000;
const DUMP_ATTEMPTS_MAX = 10;
/** Filling new ones with zeros costs more than most dumps. */
const spareInboxes: Inbox[] = [];
const SPARE_INBOXES_MAX = 4;

/** Opens a socket to the kernel of `options.netns`. */
export function openNetlink(options: NetlinkOptions = {}): NetlinkSocket {
  const { netns, timeoutMs = TIMEOUT_MS, family = "route" } = options;
  const line = openLine(openDescriptor({ protocol: PROTOCOLS[family], netns, timeoutMs }), timeoutMs);

  const settle = (batch: readonly Message[], request: RequestOptions = {}) =>
    batch.length === 0 ? Promise.resolve([]) : line.exchange(batch, request, collectOutcomes);

  return {
    settle,
    async execute(batch, request) {
      const outcomes = await settle(batch, request);
      const failed = outcomes.find((outcome) => outcome.error !== undefined);
      if (failed?.error !== undefined) throw failed.error;
      return outcomes.flatMap((outcome) => outcome.echoes);
    },
    dump: (query, request = {}) => dumpUntilConsistent(line, query, request),
    async get(query, request) {
      const [outcome] = await settle([query.message], request);
      if (outcome?.error !== undefined) throw outcome.error;
      const answer = outcome?.echoes.find((echo) => echo.type === query.answerType);
      const row = answer === undefined ? undefined : query.decode(answer.body);
      if (row === undefined) throw new NetError("PROTOCOL", `Cannot ${query.message.deed}: the kernel sent no answer`);
      return row;
    },
    get usable() {
      return line.usable;
    },
    [Symbol.dispose]: () => line.close(),
  };
}

type Collect<T> = (fd: number, batch: readonly Message[], firstSequence: number) => Promise<T>;

/** A descriptor with what keeps it in step: sequence numbers, one exchange at a time, a deadline. */
interface Line {
  exchange<T>(batch: readonly Message[], request: RequestOptions, collect: Collect<T>): Promise<T>;
  close(): void;
  readonly usable: boolean;
}

function openLine(fd: number, timeoutMs: number): Line {
  let sequence = 1;
  let busy = false;
  let closed = false;
  let broken = false;

  async function run<T>(batch: readonly Message[], request: RequestOptions, collect: Collect<T>): Promise<T> {
    const first = sequence;
    sequence = (sequence + batch.length) >>> 0;
    const bytes = encodeBatch(batch, first);
    await sendBatch(fd, bytes, { signal: request.signal, mayStart: () => refuseUnusable(closed, broken) });
    try {
      return await collect(fd, batch, first);
    } catch (error) {
      // Answers may be left in the socket. A refusal is the last answer of its request, so nothing is left behind it.
      broken ||= !(error instanceof NetError && error.code === "REJECTED");
      throw error;
    }
  }

  return {
    async exchange(batch, request, collect) {
      refuseUnusable(closed, broken);
      if (busy) throw new NetError("INTERNAL", "A netlink socket carries one request at a time");
      busy = true;
      const running = run(batch, request, collect).finally(() => {
        busy = false;
        if (closed) close(fd);
      });
      return withDeadline(running, { timeoutMs, doing: batch[0]?.deed ?? "ask the kernel", onTimeout });
    },
    close() {
      if (!closed && !busy) close(fd); // while a thread uses the descriptor, whoever ends last closes it
      closed = true;
    },
    get usable() {
      return !closed && !broken;
    },
  };

  function onTimeout(): void {
    broken = true;
  }
}

function refuseUnusable(closed: boolean, broken: boolean): void {
  if (closed) throw new NetError("CLOSED", "The netlink socket is closed");
  if (broken) throw new NetError("CLOSED", "The netlink socket is out of step with the kernel after a failure");
}

interface Deadline {
  readonly timeoutMs: number;
  readonly doing: string;
  readonly onTimeout: () => void;
}

function withDeadline<T>(running: Promise<T>, { timeoutMs, doing, onTimeout }: Deadline): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      onTimeout();
      reject(new NetError("TIMEOUT", `Cannot ${doing}: no answer within ${timeoutMs} ms; the outcome is unknown`));
    }, timeoutMs);
    running.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** After send() has returned the answers are queued already; a wait on the pool is only the fallback. */
async function collectOutcomes(fd: number, batch: readonly Message[], firstSequence: number): Promise<Outcome[]> {
  const verdicts: (Acknowledgement | undefined)[] = batch.map(() => undefined);
  const echoes: Echoed[][] = batch.map(() => []);
  let missing = batch.filter((message) => message.isUnacknowledged !== true).length;
  while (missing > 0) {
    const messages = receiveNow(fd) ?? (await receiveWaiting(fd, createDatagramInbox()));
    for (const message of messages) {
      const messageIndex = indexOf(message, firstSequence, batch.length);
      if (message.type === NLMSG_ERROR) {
        const verdict = readAcknowledgement(message);
        if (batch[messageIndex]?.isUnacknowledged === true) {
          refuseBatch(batch[messageIndex], verdict);
          continue;
        }
        if (verdicts[messageIndex] === undefined) missing--;
        verdicts[messageIndex] = verdict;
      } else if (message.type !== NLMSG_NOOP) {
        echoes[messageIndex]?.push({ messageIndex, type: message.type, body: Buffer.from(message.body) });
      }
    }
  }
  return batch.map((message, index) =>
    outcomeOf(message, verdicts[index], echoes[index], placeOf(index, batch.length)),
  );
}

/** An error of a message that is not acknowledged is the whole batch's, and nothing else may come. */
function refuseBatch(message: Message, { errno, text }: Acknowledgement): void {
  if (errno !== 0) throw rejected(message.deed, errno, text);
}

function outcomeOf(
  message: Message,
  verdict: Acknowledgement | undefined,
  echoes: readonly Echoed[] | undefined,
  place: string | undefined,
): Outcome {
  const { errno, text } = verdict ?? { errno: 0, text: undefined };
  const error = errno === 0 ? undefined : rejected(message.deed, errno, text, place);
  return { error, warning: errno === 0 ? text : undefined, echoes: echoes ?? [] };
}

function placeOf(index: number, count: number): string | undefined {
  return count === 1 ? undefined : `message ${index + 1} of ${count}`;
}

function indexOf(message: Received, firstSequence: number, count: number): number {
  const index = (message.sequence - firstSequence) >>> 0;
  if (index < count) return index;
  throw new NetError("PROTOCOL", `The kernel answered sequence ${message.sequence}, ${firstSequence} was asked`);
}

async function dumpUntilConsistent<Row>(line: Line, query: Query<Row>, request: RequestOptions): Promise<Row[]> {
  const message = { ...query.message, flags: query.message.flags | NLM_F_DUMP };
  for (let attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt++) {
    const rows = await line.exchange([message], request, (fd, _batch, first) => collectDump(fd, query, first));
    if (rows !== undefined) return rows;
  }
  const why = `the table changed during each of ${DUMP_ATTEMPTS_MAX} attempts`;
  throw new NetError("UNAVAILABLE", `Cannot ${message.deed}: ${why}`, { reason: "dump-interrupted" });
}

/** `undefined` when the table changed meanwhile. The kernel makes each part while it is received: not on the loop. */
async function collectDump<Row>(fd: number, query: Query<Row>, sequence: number): Promise<Row[] | undefined> {
  const inbox = spareInboxes.pop() ?? createDatagramInbox();
  try {
    return await collectRows({ fd, inbox }, query, sequence);
  } finally {
    if (spareInboxes.length < SPARE_INBOXES_MAX) spareInboxes.push(inbox);
  }
}

interface DumpSource {
  readonly fd: number;
  readonly inbox: Inbox;
}

async function collectRows<Row>({ fd, inbox }: DumpSource, query: Query<Row>, sequence: number) {
  const rows: Row[] = [];
  let interrupted = false;
  for (;;) {
    for (const message of await receiveWaiting(fd, inbox)) {
      indexOf(message, sequence, 1);
      interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
      if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
        const { errno, text } = message.type === NLMSG_DONE ? readDone(message) : readAcknowledgement(message);
        if (errno !== 0) throw rejected(query.message.deed, errno, text);
        return interrupted ? undefined : rows;
      }
      const row = message.type === query.answerType ? query.decode(message.body) : undefined;
      if (row !== undefined) rows.push(row);
    }
  }
}
