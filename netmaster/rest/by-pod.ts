import { endpointKeyOf } from "../inspect/endpoint.ts";
import type { Handler } from "./call.ts";
import { runInSlices } from "./slices.ts";

/** The same for an endpoint that the URL names as `namespace%2Fpod` instead of by its key. */
export function byPod(handle: Handler): Handler {
  return async (call) => {
    const key = await runInSlices(endpointKeyOf(call.services.view(), call.params.key ?? ""));
    return handle({ ...call, params: { ...call.params, key } });
  };
}
