import { createServer, connect as dial, type Socket } from "node:net";

/** A relay to one TCP port which can be told to misbehave as networks do. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections relayed since the start. */
  readonly connectionCount: number;
  /** Connections reset by `cut`, `refuse` and `cutAfter`. */
  readonly resetCount: number;
  /** Bytes which the server has sent to clients through here. */
  readonly bytesToClients: number;
  /** Resets all connections; new ones are relayed. */
  cut(): void;
  /** Resets all connections and refuses new ones until `restore`. */
  refuse(): void;
  /** Keeps connections and accepts new ones, but carries not one byte in any direction until `restore`. */
  stall(): void;
  /** Carries requests, but no byte of an answer until `restore`, `cut` or `refuse`. */
  stallAnswers(): void;
  /** Cuts all connections once this many more bytes have come from the server. */
  cutAfter(bytes: number): void;
  restore(): void;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

export async function startTcpProxy(targetPort: number, targetHost = "127.0.0.1"): Promise<TcpProxy> {
  const proxy = new Relay(targetPort, targetHost);
  await proxy.listen();
  return proxy;
}

class Relay implements TcpProxy {
  port = 0;
  connectionCount = 0;
  bytesToClients = 0;
  resetCount = 0;
  readonly #targetPort: number;
  readonly #targetHost: string;
  readonly #links = new Set<Link>();
  readonly #server = createServer({ pauseOnConnect: true }, (client) => this.#accept(client));
  #mode: "relay" | "refuse" | "stall" | "stall-answers" = "relay";
  #cutAtBytes = Number.POSITIVE_INFINITY;

  constructor(targetPort: number, targetHost: string) {
    this.#targetPort = targetPort;
    this.#targetHost = targetHost;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", () => {
        const address = this.#server.address();
        if (address !== null && typeof address !== "string") this.port = address.port;
        resolve();
      });
    });
  }

  cut(): void {
    this.#mode = "relay";
    this.#cutAtBytes = Number.POSITIVE_INFINITY;
    this.resetCount += this.#links.size;
    for (const link of [...this.#links]) this.#drop(link);
  }

  refuse(): void {
    this.cut();
    this.#mode = "refuse";
  }

  stall(): void {
    this.#mode = "stall";
    for (const link of this.#links) this.#flow(link);
  }

  stallAnswers(): void {
    this.#mode = "stall-answers";
    for (const link of this.#links) this.#flow(link);
  }

  cutAfter(bytes: number): void {
    this.#cutAtBytes = this.bytesToClients + bytes;
  }

  restore(): void {
    this.#mode = "relay";
    for (const link of this.#links) this.#flow(link);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    if (this.#mode === "refuse") {
      client.resetAndDestroy();
      return;
    }
    this.connectionCount += 1;
    const link = { client, server: dial(this.#targetPort, this.#targetHost) };
    this.#links.add(link);
    for (const socket of [link.client, link.server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.#drop(link));
      socket.on("close", () => this.#drop(link));
    }
    link.client.on("data", (chunk) => void link.server.write(chunk));
    link.server.on("data", (chunk) => this.#answer(link, chunk));
    this.#flow(link);
  }

  #answer(link: Link, chunk: Buffer): void {
    const room = this.#cutAtBytes - this.bytesToClients;
    const passed = chunk.length > room ? chunk.subarray(0, room) : chunk;
    this.bytesToClients += passed.length;
    link.client.write(passed);
    if (this.bytesToClients >= this.#cutAtBytes) this.cut();
  }

  #flow({ client, server }: Link): void {
    if (this.#mode === "stall") client.pause();
    else client.resume();
    if (this.#mode === "relay") server.resume();
    else server.pause();
  }

  #drop(link: Link): void {
    if (!this.#links.delete(link)) return;
    link.client.resetAndDestroy();
    link.server.resetAndDestroy();
  }
}
