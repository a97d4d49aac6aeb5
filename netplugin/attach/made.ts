import type { EndpointReply } from "../../state/node-api.ts";
import type { AddRequest } from "../cni/request.ts";

/** A wish for an interface, with the lease that netmaster has given for it. */
export interface Leased {
  readonly wish: AddRequest;
  readonly reply: EndpointReply;
}

/** A wish that has come true. */
export interface Made extends Leased {
  readonly hostDevice: string;
}
