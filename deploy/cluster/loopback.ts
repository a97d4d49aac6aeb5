import { get, type IncomingMessage } from "node:http";
import type { LookupFunction } from "node:net";
import { inNetns, openNetns } from "../../drivers/netlink/netns.ts";

export interface LoopbackAnswer {
  readonly status: number;
  readonly text: string;
}

const TIMEOUT_MS = 10_000;

/**
 * GETs from a server on the loopback of a namespace that `ip netns` knows. The socket alone is made there, which takes a millisecond:
 * a program of its own for each question would take a hundred, and tests ask thousands.
 */
export function getFromLoopback(netns: string, port: number, path: string): Promise<LoopbackAnswer> {
  const lookup: LookupFunction = (_name, _options, connectTo) => {
    using handle = openNetns(`/run/netns/${netns}`);
    inNetns(handle, () => connectTo(null, "127.0.0.1", 4)); // Node makes the socket before this returns
  };
  const where = { host: netns, port, path, lookup, autoSelectFamily: false };
  return new Promise((resolve, reject) => {
    get({ ...where, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      read(response).then(resolve, reject);
    }).once("error", reject);
  });
}

async function read(response: IncomingMessage): Promise<LoopbackAnswer> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode ?? 0, text };
}
