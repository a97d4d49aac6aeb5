import { asNetError } from "../../state/errors.ts";
import type { Call } from "./call.ts";
import type { Submitted } from "./services.ts";

/** Does a change and writes one record of it, whether it succeeds or not: who, what, on which object, with what result. */
export async function audit<Reply>(
  call: Call,
  object: string,
  work: () => Promise<Submitted<Reply>>,
): Promise<Submitted<Reply>> {
  const record = { who: call.who, method: call.method, object };
  const { log } = call.services;
  try {
    const submitted = await work();
    log.info({ audit: { ...record, result: "ok", revision: `${submitted.revision}` } }, "audit");
    return submitted;
  } catch (thrown) {
    const error = asNetError(thrown, "change the cluster");
    log.info({ audit: { ...record, result: error.reason ?? error.code, detail: error.message } }, "audit");
    throw thrown;
  }
}
