import { NetError } from "../../../state/errors.ts";
import { cniErrorOf } from "../errors.ts";
import { encodeFrame, parseFrame } from "../protocol.ts";
import { type AddRequest, type CniRequest, parseRequest } from "../request.ts";

export const ENV = {
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/pod",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
  CNI_ARGS: "",
};
export const CONFIG = { cniVersion: "1.0.0", name: "contiv", type: "contiv" };
export const PREV_RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", sandbox: "/run/netns/pod" }],
  ips: [{ address: "10.1.1.2/24", interface: 0 }],
};

export type Env = Readonly<Record<string, string | undefined>>;

/** Parses what the shim sends for a call with these departures from a good one. */
export function parse(command: string, env: Env = {}, config: unknown = {}): CniRequest {
  const variables = Object.entries({ ...ENV, CNI_COMMAND: command, ...env }).filter(([, value]) => value !== undefined);
  const stdin = typeof config === "string" ? config : JSON.stringify({ ...CONFIG, ...(config as object) });
  return parseRequest(parseFrame(encodeFrame(variables as [string, string][], stdin)));
}

/** The CNI error that a call gets. */
export function failure(
  command: string,
  env: Env,
  config: unknown,
): { code: number; msg: string; field: string | undefined } {
  try {
    parse(command, env, config);
  } catch (thrown) {
    const { code, msg } = cniErrorOf(thrown, { cniVersion: "1.0.0", command });
    return { code, msg, field: thrown instanceof NetError ? thrown.field : undefined };
  }
  throw new Error("was accepted");
}

export function add(env: Env = {}, config: object = {}): AddRequest {
  const request = parse("ADD", env, config);
  if (request.command !== "ADD") throw new Error("no ADD");
  return request;
}
