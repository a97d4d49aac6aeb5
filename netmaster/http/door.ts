import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { FastifyInstance } from "fastify";
import { NetError } from "../../state/errors.ts";
import { errorReply } from "./problem.ts";

/** A request handler that answers for itself until its application is there. */
export interface Door {
  readonly handler: RequestListener;
  open(app: FastifyInstance): void;
}

/** Until it is opened, `/healthz` says that the process lives, and everything else that it is starting. */
export function createDoor(): Door {
  let app: FastifyInstance | undefined;
  return {
    handler: (request, response) =>
      app === undefined ? answerEarly(request, response) : app.routing(request, response),
    open(opened) {
      app = opened;
    },
  };
}

function answerEarly(request: IncomingMessage, response: ServerResponse): void {
  const [path = "/"] = (request.url ?? "/").split("?", 1);
  if (path === "/healthz") {
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end("ok\n");
    return;
  }
  const error = new NetError(
    "UNAVAILABLE",
    "netmaster is starting: it has not reached etcd yet; nothing was changed, try again shortly",
    {
      reason: "starting",
    },
  );
  const hasAccept = request.headers.accept !== undefined;
  const { status, headers, body } = errorReply(error, { hasAccept, path, requestId: randomUUID() });
  response.writeHead(status, { ...headers, connection: "close" }).end(body);
}
