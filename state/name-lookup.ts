import { type LookupAddress, type LookupOptions, lookup as systemLookup } from "node:dns";
import { type Clock, systemClock } from "./waiting/clock.ts";
import { pause } from "./waiting/pause.ts";

/** As `lookup` of node:net and node:dgram calls it. */
export type NameLookup = (
  hostname: string,
  options: LookupOptions,
  callback: (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void,
) => void;

export interface NameLookupOptions {
  /** Asks the system; every look-up that is not answered holds a thread of this process. */
  readonly resolve?: (hostname: string, options: LookupOptions) => Promise<readonly LookupAddress[]>;
  readonly clock?: Clock;
}

/** A caller waits this long for an answer, in milliseconds; the look-up goes on, and the next caller has what it brings. */
const PATIENCE_MS = 2_000;
/** A name that could not be looked up is not looked up again for this time, in milliseconds. */
const FAILURE_KEPT_MS = 3_000;

interface Name {
  /** The look-up on its way, if there is one. */
  pending: Promise<void> | undefined;
  startedMs: number;
  /** The last answer: used when a later look-up fails or is late, since a netmaster seldom moves. */
  addresses: readonly LookupAddress[] | undefined;
  failure: { readonly error: Error; readonly atMs: number } | undefined;
}

/**
 * Looks names up, each once at a time however many ask: with name servers that are silent, look-ups would pile up on the few threads that
 * this process has for them. A caller gets the last answer, or an error, when there is none within `PATIENCE_MS`.
 */
export function createNameLookup({ resolve = resolveAll, clock = systemClock }: NameLookupOptions = {}): NameLookup {
  const names = new Map<string, Name>();

  async function addressesOf(hostname: string, options: LookupOptions): Promise<readonly LookupAddress[]> {
    const id = `${hostname} ${options.family ?? 0} ${options.hints ?? 0}`;
    const name = names.get(id) ?? { pending: undefined, startedMs: 0, addresses: undefined, failure: undefined };
    names.set(id, name);
    const isFailureFresh = name.failure !== undefined && clock.nowMs() - name.failure.atMs < FAILURE_KEPT_MS;
    if (name.pending === undefined && !isFailureFresh) begin(name, hostname, options);
    await withinPatience(name);
    if (name.pending === undefined && name.failure === undefined) return name.addresses ?? [];
    if (name.addresses !== undefined) return name.addresses;
    throw name.pending === undefined && name.failure !== undefined ? name.failure.error : lateError(hostname, name);
  }

  function begin(name: Name, hostname: string, options: LookupOptions): void {
    name.startedMs = clock.nowMs();
    name.pending = resolve(hostname, options)
      .then(
        (addresses) => {
          name.addresses = addresses;
          name.failure = undefined;
        },
        (error: Error) => {
          name.failure = { error, atMs: clock.nowMs() };
        },
      )
      .finally(() => {
        name.pending = undefined;
      });
  }

  /** Returns when the look-up has ended, or has taken as long as anybody waits for it. */
  async function withinPatience({ pending, startedMs }: Name): Promise<void> {
    const leftMs = startedMs + PATIENCE_MS - clock.nowMs();
    if (pending === undefined || leftMs <= 0) return;
    const over = new AbortController();
    await Promise.race([pending, pause(leftMs, over.signal, clock)]);
    over.abort();
  }

  function lateError(hostname: string, { startedMs }: Name): NodeJS.ErrnoException {
    const waitedS = Math.round((clock.nowMs() - startedMs) / 1_000);
    const message = `the name ${hostname} has been looked up for ${waitedS} s without an answer of the name servers`;
    return Object.assign(new Error(message), { code: "EAI_AGAIN", hostname });
  }

  return (hostname, options, callback) => {
    addressesOf(hostname, options).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all === true) callback(null, [...addresses]);
        else callback(null, first?.address ?? "", first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, options.all === true ? [] : ""),
    );
  };
}

function resolveAll(hostname: string, options: LookupOptions): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error === null) resolve(addresses);
      else reject(error);
    });
  });
}

/** This process' look-ups: its threads for them are few, whoever asks. Its names come from settings. */
export const nameLookup = createNameLookup();

/**
 * Makes each look-up of this process end within seconds where name servers are silent, unless the environment says otherwise: a process
 * cannot end before its look-ups have. Read by the C library (resolv.conf(5)) with a thread's first look-up.
 */
export function boundNameLookups(environment: NodeJS.ProcessEnv): void {
  environment["RES_OPTIONS"] ??= "timeout:1 attempts:2";
}
