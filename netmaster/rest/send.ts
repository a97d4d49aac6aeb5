import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { NetError } from "../../state/errors.ts";
import { REVISION_HEADER } from "../http/headers.ts";
import { jsonChunks, type Rendered } from "../inspect/streamed.ts";
import type { Answer } from "./call.ts";
import type { RestMetrics } from "./metrics.ts";
import type { RestServices } from "./services.ts";
import { inPieces } from "./slices.ts";

/** Most watch streams at a time. */
const MAX_WATCHES = 2_000;

type Lines = Extract<Answer, { is: "lines" }>;

/** Writes answers: short ones at once, long ones piece by piece, watches until either side ends them. */
export class Sender {
  readonly #services: RestServices;
  readonly #metrics: RestMetrics;
  readonly #watches = new Set<AbortController>();

  constructor(services: RestServices, metrics: RestMetrics) {
    this.#services = services;
    this.#metrics = metrics;
  }

  /** Ends all watches. */
  close(): void {
    for (const watch of this.#watches) watch.abort();
  }

  async send(answer: Answer, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    switch (answer.is) {
      case "text":
        return reply
          .code(answer.status ?? 200)
          .header("content-type", answer.contentType)
          .send(Buffer.from(answer.text));
      case "json":
        void reply.headers({ ...answer.headers, "content-type": "application/json" });
        return this.#sendJson(answer.value, request, reply);
      case "lines":
        void reply.headers({ [REVISION_HEADER]: answer.revision, "content-type": "application/x-ndjson" });
        return request.method === "HEAD" ? reply.send(Buffer.alloc(0)) : this.#sendLines(answer, reply);
      default:
        return answer satisfies never;
    }
  }

  async #sendJson(value: Rendered, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const pieces = inPieces(withNewline(jsonChunks(value)));
    const first = await pieces.next();
    const second = await pieces.next();
    if (second.done) return reply.send(Buffer.from(first.done ? "\n" : first.value));
    if (request.method === "HEAD") return reply.send(Buffer.alloc(0));
    return reply.send(Readable.from(this.#logged(resumed([first.value, second.value], pieces)), { objectMode: false }));
  }

  #sendLines({ lines }: Lines, reply: FastifyReply): FastifyReply {
    if (this.#watches.size >= MAX_WATCHES) {
      const message = `${MAX_WATCHES} watches are open already; try again, or ask another netmaster`;
      throw new NetError("UNAVAILABLE", message, { reason: "too-many-watches" });
    }
    const watch = new AbortController();
    this.#watches.add(watch);
    this.#metrics.watches.set(this.#watches.size);
    reply.raw.once("close", () => watch.abort());
    watch.signal.addEventListener("abort", () => this.#forget(watch), { once: true });
    const stream = Readable.from(this.#logged(lines(watch.signal)), { objectMode: false, highWaterMark: 65_536 });
    stream.once("close", () => watch.abort());
    return reply.send(stream);
  }

  #forget(watch: AbortController): void {
    this.#watches.delete(watch);
    this.#metrics.watches.set(this.#watches.size);
  }

  /** The status is sent already when this fails: the connection breaks off, and the log says why. */
  async *#logged(pieces: AsyncGenerator<string>): AsyncGenerator<string> {
    try {
      yield* pieces;
    } catch (error) {
      this.#services.log.error({ err: error }, "reply broke off");
      throw error;
    }
  }
}

function* withNewline(chunks: Iterable<string>): Generator<string> {
  yield* chunks;
  yield "\n";
}

async function* resumed(begun: readonly string[], rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield* begun;
  yield* rest;
}
