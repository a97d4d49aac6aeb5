import { connect } from "node:net";
import { NetError } from "../../state/errors.ts";
import { nameLookup } from "../../state/name-lookup.ts";
import { pause } from "../../state/waiting/pause.ts";

/** Any netmaster that accepts a connection proves that the node is reachable; with none known there is nothing to prove. */
export async function reachNetmaster(urls: readonly string[], signal: AbortSignal): Promise<void> {
  const attempts = urls.map((url) => dialUntil(new URL(url), signal));
  await Promise.any(attempts).catch((error: AggregateError) => {
    throw new NetError("UNAVAILABLE", `No netmaster is reachable: ${error.errors.map(String).join("; ")}`);
  });
}

async function dialUntil(url: URL, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return await dial(url, signal);
    } catch (error) {
      signal.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") return; // the host is there, its netmaster is not
      await pause(200, signal);
      signal.throwIfAborted();
    }
  }
}

function dial(url: URL, signal: AbortSignal): Promise<void> {
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ""), port, timeout: 2_000, lookup: nameLookup });
    const end = (act: () => void) => {
      socket.destroy();
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const onAbort = () => end(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => end(resolve));
    socket.once("timeout", () => end(() => reject(new Error("timed out"))));
    socket.once("error", (error) => end(() => reject(error)));
  });
}
