import { noop } from "cockatiel";
import { Etcd3, type IHashKVRequest, type IHashKVResponse, type IOptions } from "etcd3";
import { ClusterBelief } from "./cluster-belief.ts";
import type { TlsMaterial } from "./tls.ts";

/** gRPC channel options; etcd answers pings more often than every 5 s with `too_many_pings`, hence not below 10 s. */
const GRPC_OPTIONS = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
};

/** etcd3's `maintenance.hashKV` names a method that gRPC does not have: it cannot be called there. */
export class EtcdClient extends Etcd3 {
  hashKv(request: IHashKVRequest, options: CallOptions): Promise<IHashKVResponse> {
    return this.pool.exec("Maintenance", "HashKV", request, options);
  }
}

export interface ClientOptions {
  readonly tls: TlsMaterial | undefined;
  readonly auth: { readonly username: string; readonly password: string } | undefined;
  readonly callTimeoutMs: number;
}

/** One etcd member as we reach it, with a client of its own: a client with several hosts picks stopped ones again. */
export class Endpoint {
  readonly url: string;
  /** False from a break of its link on until its data were compared with the other members'. */
  isCompared = false;
  readonly #options: ClientOptions;
  #client: EtcdClient;
  #distrust = new AbortController();

  constructor(url: string, options: ClientOptions) {
    this.url = url;
    this.#options = options;
    this.#client = openClient(url, options);
  }

  get client(): EtcdClient {
    return this.#client;
  }

  /** Aborts when its data turn out to be others than those of most members. */
  get distrusted(): AbortSignal {
    return this.#distrust.signal;
  }

  /** In which way its data differ from those of most members; undefined: nothing is known against it. */
  get divergence(): string | undefined {
    return this.distrusted.aborted ? String(this.distrusted.reason) : undefined;
  }

  setDivergence(divergence: string | undefined): void {
    if (divergence !== undefined) this.#distrust.abort(divergence);
    else if (this.distrusted.aborted) this.#distrust = new AbortController();
  }

  /** Drops a client whose credentials etcd no longer accepts; running streams of the old one end by themselves. */
  renewClient(stale: EtcdClient): void {
    if (stale !== this.#client) return;
    this.#client = openClient(this.url, this.#options);
    stale.close();
  }

  close(): void {
    this.#client.close();
  }
}

/** The members in a fixed order, and the one that unary calls prefer at present. */
export class Endpoints {
  readonly all: readonly Endpoint[];
  readonly hasAuth: boolean;
  readonly #belief: ClusterBelief;
  #preferred: number;
  #isClosed = false;

  constructor(urls: readonly string[], options: ClientOptions) {
    this.all = urls.map((url) => new Endpoint(url, options));
    this.hasAuth = options.auth !== undefined;
    this.#belief = new ClusterBelief(urls.length);
    this.#preferred = this.randomIndex();
  }

  get preferred(): Endpoint {
    return this.at(this.#preferred);
  }

  /** The first one from there on that may be used, and rather one whose data were compared since its link broke. */
  at(index: number): Endpoint {
    const inTurn = this.all.map((_, offset) => this.#get(index + offset));
    const usable = inTurn.filter(({ divergence }) => divergence === undefined);
    return usable.find(({ isCompared }) => isCompared) ?? usable[0] ?? this.#get(index);
  }

  #get(index: number): Endpoint {
    const endpoint = this.all[index % this.all.length];
    if (endpoint === undefined) throw new RangeError(`No endpoint ${index}`);
    return endpoint;
  }

  randomIndex(): number {
    return Math.floor(Math.random() * this.all.length);
  }

  /** Moves on to the next member, unless another call has done so already. */
  avoid(failed: Endpoint): void {
    if (this.preferred === failed) this.#preferred = (this.all.indexOf(failed) + 1) % this.all.length;
    failed.isCompared = false;
  }

  /** By URL: the endpoints that must not be used, and why. */
  get diverged(): ReadonlyMap<string, string> {
    return new Map(
      this.all.flatMap(({ url, divergence }) => (divergence === undefined ? [] : [[url, divergence] as const])),
    );
  }

  set diverged(diverged: ReadonlyMap<string, string>) {
    for (const endpoint of this.all) endpoint.setDivergence(diverged.get(endpoint.url));
  }

  /** Notes the cluster that a member's answer names; false: not ours, as far as is known, so that its answers must not be used. */
  isOurs(endpoint: Endpoint, clusterId: string): boolean {
    return this.#belief.isOurs(this.all.indexOf(endpoint), clusterId);
  }

  /** How many members that cluster has, as one of them says. */
  learnMembers(clusterId: string, memberCount: number): void {
    this.#belief.learn(clusterId, memberCount);
  }

  /** Ours, as last known. */
  get clusterId(): string | undefined {
    return this.#belief.ours;
  }

  /** Takes over from somebody who knows which cluster is ours. */
  adoptCluster(clusterId: string): void {
    this.#belief.adopt(clusterId);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
    for (const endpoint of this.all) endpoint.close();
  }
}

export type CallOptions = Exclude<IOptions["defaultCallOptions"], ((...context: never[]) => unknown) | undefined>;
type Interceptor = NonNullable<CallOptions["interceptors"]>[number];

/** Asks the member to end the stream when it has lost its leader, instead of staying silent with old data. */
const requireLeader: Interceptor = (options, nextCall) => {
  const call = nextCall(options);
  const start = call.start.bind(call);
  call.start = (metadata, listener) => {
    metadata.set("hasleader", "true");
    start(metadata, listener);
  };
  return call as ReturnType<Interceptor>;
};

function openClient(url: string, { tls, auth, callTimeoutMs }: ClientOptions): EtcdClient {
  const serverName = tls?.serverName;
  return new EtcdClient({
    hosts: url,
    grpcOptions: serverName ? { ...GRPC_OPTIONS, "grpc.ssl_target_name_override": serverName } : GRPC_OPTIONS,
    ...(tls === undefined ? {} : { credentials: credentialsOf(tls) }),
    ...(auth === undefined ? {} : { auth }),
    // A function, since a fixed object would give all calls one absolute deadline, and a deadline ends a stream.
    defaultCallOptions: (context) => {
      if (!context.isStream) return { deadline: Date.now() + callTimeoutMs };
      return context.service === "Watch" ? { interceptors: [requireLeader] } : {};
    },
    faultHandling: { global: noop, host: () => noop },
  });
}

function credentialsOf({ ca, cert, key }: TlsMaterial): NonNullable<IOptions["credentials"]> {
  if (cert === undefined || key === undefined) return { rootCertificate: ca };
  return { rootCertificate: ca, certChain: cert, privateKey: key };
}
