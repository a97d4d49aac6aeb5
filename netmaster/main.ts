#!/usr/bin/env node
import { setFlagsFromString } from "node:v8";
import { destination, type Logger, pino } from "pino";
import { DAEMON_LOG } from "../state/daemon-log.ts";
import { asNetError, NetError } from "../state/errors.ts";
import { LossLog } from "../state/loss-log.ts";
import { boundNameLookups } from "../state/name-lookup.ts";
import { openEtcdStore } from "../state/store/etcd/store.ts";
import type { Reporter, Store } from "../state/store/store.ts";
import { retry } from "../state/waiting/repeat.ts";
import { readBuildInfo } from "./build-info.ts";
import { type NetmasterConfig, parseConfig } from "./config.ts";
import { type Netmaster, startNetmaster } from "./netmaster.ts";
import { ETCD_LOST } from "./store/store-log.ts";

/** A netmaster that has not ended after this time is ended. */
const SHUTDOWN_TIMEOUT_MS = 5_000;
const OPEN_RETRY_MS = 1_000;

/**
 * Memory follows the cluster's size more closely, for a few percent of the time: with V8's own rule the heap grows to about twice what
 * it holds before it is collected.
 */
const HEAP_GROWING_PERCENT = 30;
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);

boundNameLookups(process.env);
const build = readBuildInfo(process.env);
const config = readConfig();
const log = pino(
  {
    ...DAEMON_LOG,
    level: config.logLevel,
    base: { component: "netmaster", name: config.name },
  },
  destination({ fd: 1, sync: true }),
);

process.on("unhandledRejection", (error) =>
  die("netmaster ends because of a defect: a rejection was not handled", error),
);
process.on("uncaughtException", (error) =>
  die("netmaster ends because of a defect: an exception was not caught", error),
);

const netmaster = await start();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void shutDown(signal, netmaster, log));

function readConfig(): NetmasterConfig {
  try {
    return parseConfig(process.argv.slice(2), build.version);
  } catch (error) {
    process.stderr.write(`netmaster: ${asNetError(error, "read the configuration").message}\n`);
    process.exit(2);
  }
}

async function start(): Promise<Netmaster> {
  try {
    return await startNetmaster({ config, build, log, openStore });
  } catch (error) {
    const { code, message, cause } = asNetError(error, "start");
    if (code === "INTERNAL" || code === "PROTOCOL") die("netmaster cannot start", error);
    log.fatal({ reason: message, cause: cause instanceof Error ? cause.message : undefined }, "netmaster cannot start");
    process.exit(1);
  }
}

/** Waits for etcd as long as it is away; whatever cannot get better by waiting is thrown. */
async function openStore(report: Reporter, onAway: (error: NetError) => void): Promise<Store> {
  const loss = new LossLog({ log, lost: ETCD_LOST, back: "etcd answers" });
  const failed = new Set<string>();
  const away = (error: NetError) => {
    loss.lost(error);
    onAway(error);
  };
  /** The opening itself gives up after seconds only. */
  const listen: Reporter = (told) => {
    report(told);
    if (told.kind !== "call-failed" || isOpen) return;
    failed.add(told.endpoint);
    if (failed.size === config.etcd.endpoints.length) away(asNetError(told.cause, `reach etcd at ${told.endpoint}`));
  };
  const open = () =>
    openEtcdStore({ ...config.etcd, report: listen }).catch((error: unknown) => {
      throw asNetError(error, "open the store");
    });
  const mayRetry = (error: unknown) => {
    if (!(error instanceof NetError) || (error.code !== "UNAVAILABLE" && error.code !== "TIMEOUT")) return false;
    away(error);
    return true;
  };
  let isOpen = false;
  const store = await retry(open, { pauseMs: OPEN_RETRY_MS, mayRetry });
  isOpen = true;
  loss.back();
  return store;
}

async function shutDown(signal: string, running: Netmaster, logger: Logger): Promise<void> {
  logger.info({ signal }, "netmaster ends");
  setTimeout(() => process.exit(1), SHUTDOWN_TIMEOUT_MS).unref();
  await running
    .close()
    .catch((error: unknown) => logger.error({ err: error }, "netmaster could not give up everything at its end"));
  process.exit(0);
}

function die(message: string, error: unknown): never {
  log.fatal({ err: error }, message);
  process.exit(1);
}
