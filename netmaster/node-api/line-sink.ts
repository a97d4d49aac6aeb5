import type { ServerResponse } from "node:http";
import { NetError } from "../../state/errors.ts";
import type { LineSink } from "./scope-hub.ts";

/** How long a peer may leave a full connection unread before its stream ends. */
const STUCK_TIMEOUT_MS = 30_000;

/** Writes lines to a response at the pace at which the peer reads. */
export function responseSink(response: ServerResponse, signal: AbortSignal): LineSink {
  return {
    write(text) {
      if (response.destroyed) return Promise.reject(gone());
      if (response.write(text)) return Promise.resolve();
      return drained(response, signal);
    },
  };
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: NetError) => {
      clearTimeout(timer);
      response.off("drain", onDrain);
      response.off("close", onClose);
      signal.removeEventListener("abort", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onDrain = () => finish();
    const onClose = () => finish(gone());
    const stuck = new NetError("TIMEOUT", `The node has not read its watch stream for ${STUCK_TIMEOUT_MS} ms`);
    const timer = setTimeout(finish, STUCK_TIMEOUT_MS, stuck);
    response.once("drain", onDrain);
    response.once("close", onClose);
    signal.addEventListener("abort", onClose, { once: true });
  });
}

function gone(): NetError {
  return new NetError("CLOSED", "The node has closed its watch stream");
}
