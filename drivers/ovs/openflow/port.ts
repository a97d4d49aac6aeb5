import type { Mac, Port } from "./values.ts";

/** A port as the switch describes it. */
export interface PortDescription {
  readonly port: Port;
  readonly name: string;
  readonly mac: Mac;
  /** Taken down by configuration (OFPPC_PORT_DOWN). */
  readonly isDown: boolean;
  /** No carrier (OFPPS_LINK_DOWN). */
  readonly isLinkDown: boolean;
  readonly speedKbps: number;
  /** What somebody has told the switch not to do with the port's packets. */
  readonly closed: readonly PortClosing[];
}

/** What arrives is dropped, what is sent there is dropped, what misses all flows is not told. */
export type PortClosing = "no-receive" | "no-forward" | "no-packet-in";

/** What a port counted; `rx` is what the switch received on it. Counters that it does not keep are undefined. */
export interface PortStats {
  readonly port: Port;
  readonly durationMs: number;
  readonly rxPackets: bigint | undefined;
  readonly txPackets: bigint | undefined;
  readonly rxBytes: bigint | undefined;
  readonly txBytes: bigint | undefined;
  readonly rxDropped: bigint | undefined;
  readonly txDropped: bigint | undefined;
  readonly rxErrors: bigint | undefined;
  readonly txErrors: bigint | undefined;
}
