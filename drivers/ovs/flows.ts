import { asNetError, NetError } from "../../state/errors.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import { limitOf } from "../../state/waiting/limit.ts";
import { nextTurn, pause } from "../../state/waiting/pause.ts";
import { connectSwitch, type SwitchConnection } from "./openflow/connection.ts";
import { rejected } from "./openflow/error-codec.ts";
import type { FlowDeed } from "./openflow/packed-flow.ts";
import { formatFlowKey } from "./openflow/text.ts";
import type { FlowBundle, FlowDriver } from "./types.ts";

export interface FlowDriverOptions {
  /** `<runDir>/<bridge>.mgmt` */
  readonly socketPath: string;
  /** Flows whose cookie agrees in these bits are ours. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
  /** The connection is there (again): the switch may have lost its flows. */
  readonly onConnect: () => void;
}

export interface FlowConnection extends FlowDriver, AsyncDisposable {
  readonly connected: boolean;
  /** Why there is no connection; undefined while there is one, and before the first attempt. */
  readonly failure: NetError | undefined;
  /** The present connection, for counters, meters and packets; UNAVAILABLE while there is none. */
  connection(): SwitchConnection;
}

const RECONNECT = { firstMs: 50, maxMs: 2_000 };
const BUNDLE_TIMEOUT_MS = 30_000;

/** Keeps one OpenFlow connection to the bridge and comes back after each loss. */
export function openFlowConnection(options: FlowDriverOptions): FlowConnection {
  const closing = new AbortController();
  const signal = AbortSignal.any([options.signal, closing.signal]);
  let current: SwitchConnection | undefined;
  let failure: NetError | undefined;

  async function keepConnected(): Promise<void> {
    const backOff = new BackOff(RECONNECT);
    while (!signal.aborted) {
      try {
        current = await connect(options.socketPath, signal);
        failure = undefined;
        backOff.reset();
        options.onConnect();
        const reason = await current.closed;
        failure = reason;
        if (!signal.aborted && reason !== undefined) options.report(reason);
      } catch (error) {
        failure = asNetError(error, "connect to the switch", "UNAVAILABLE");
        if (!signal.aborted) options.report(failure);
      }
      current = undefined;
      await pause(backOff.nextMs(), signal);
    }
  }

  const running = keepConnected();

  function connection(): SwitchConnection {
    if (current !== undefined) return current;
    throw new NetError(
      "UNAVAILABLE",
      `No OpenFlow connection to ${options.socketPath}; it is tried again all the time`,
    );
  }

  return {
    get connected() {
      return current !== undefined;
    },
    get failure() {
      return failure;
    },
    connection,
    read: () => readFlows(connection(), options),
    begin: (request = {}) => openFlowBundle(connection(), options.socketPath, request.signal ?? signal),
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await current?.[Symbol.asyncDispose]();
      await running;
    },
  };
}

/** Our flows judge first fragments by the ports, or the ICMP type, that they show. */
async function connect(socketPath: string, signal: AbortSignal): Promise<SwitchConnection> {
  const connection = await connectSwitch(socketPath, { signal });
  try {
    await connection.setFragmentHandling("nx-match", { signal });
  } catch (error) {
    await connection.close();
    throw error;
  }
  return connection;
}

/** How many flows are put into a list or map between two chances to do something else. */
const FLOWS_PER_SLICE = 4_000;

async function readFlows(
  connection: SwitchConnection,
  { cookie, cookieMask }: Pick<FlowDriverOptions, "cookie" | "cookieMask">,
): Promise<Map<string, FlowDeed>> {
  const flows = new Map<string, FlowDeed>();
  for (const { key, deed } of await connection.dumpPackedFlows({ cookie, cookieMask })) {
    flows.set(key, deed);
    if (flows.size % FLOWS_PER_SLICE === 0) await nextTurn();
  }
  return flows;
}

/** The switch answers the commit when its tables are changed (OFPBCT_COMMIT_REPLY): that is the barrier. */
function openFlowBundle(connection: SwitchConnection, socketPath: string, signal: AbortSignal): FlowBundle {
  const bundle = connection.openBundle();
  const keys: string[] = [];
  const limit = () => limitOf(`change the flows of ${socketPath}`, { signal }, BUNDLE_TIMEOUT_MS);
  return {
    put: (key, deed) => {
      keys.push(key);
      bundle.add({ kind: "flow-put", key, deed });
    },
    remove: (key) => {
      keys.push(key);
      bundle.add({ kind: "flow-drop", key });
    },
    get isFull() {
      return bundle.isFull;
    },
    room: () => bundle.room(limit()),
    commit: async () => {
      const within = limit();
      const failures = new Map<string, NetError>();
      for (const { index, reason } of await bundle.commit(within)) {
        const key = keys[index] ?? "";
        failures.set(key, rejected(`${within.doing} (${formatFlowKey(key)})`, reason));
      }
      return failures;
    },
    [Symbol.dispose]: () => bundle[Symbol.dispose](),
  };
}
