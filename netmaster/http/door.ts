import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { FastifyInstance } from "fastify";
import { NetError } from "../../state/errors.ts";
import type { Readiness } from "../../state/readiness.ts";
import { errorReply } from "./problem.ts";

/** A request handler that answers for itself until its application is there. */
export interface Door {
  readonly handler: RequestListener;
  open(app: FastifyInstance): void;
}

/** Until it is opened, `/healthz` says that the process lives, `/readyz` what it waits for, and everything else that it is starting. */
export function createDoor(readiness: { current(): Readiness }): Door {
  let app: FastifyInstance | undefined;
  return {
    handler: (request, response) =>
      app === undefined ? answerEarly(readiness.current(), request, response) : app.routing(request, response),
    open(opened) {
      app = opened;
    },
  };
}

function answerEarly(readiness: Readiness, request: IncomingMessage, response: ServerResponse): void {
  const [path = "/"] = (request.url ?? "/").split("?", 1);
  const plain = { "content-type": "text/plain; charset=utf-8" };
  if (path === "/healthz") {
    response.writeHead(200, plain).end("ok\n");
    return;
  }
  if (path === "/readyz") {
    response.writeHead(503, { ...plain, connection: "close" }).end(readinessText(readiness));
    return;
  }
  const { state, reasons } = readiness;
  const message = `netmaster is ${state}: ${reasons.join("; ")}; nothing was changed; try again shortly`;
  const error = new NetError("UNAVAILABLE", message, { reason: "starting" });
  const hasAccept = request.headers.accept !== undefined;
  const { status, headers, body } = errorReply(error, { hasAccept, path, requestId: randomUUID() });
  response.writeHead(status, { ...headers, connection: "close" }).end(body);
}

/** What `/readyz` answers: the state, then a line for each reason. */
export function readinessText({ state, reasons }: Readiness): string {
  return [state, ...reasons].map((line) => `${line}\n`).join("");
}
