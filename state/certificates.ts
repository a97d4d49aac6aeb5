import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { Gauge, type Registry } from "prom-client";
import { asNetError, NetError } from "./errors.ts";

/** A PEM file that this process has read at its start. */
export interface CertificateFile {
  /** What it is for, as in docs/install.md: `rest`, `node`, `etcd-ca`, … */
  readonly purpose: string;
  readonly file: string;
}

interface Term {
  readonly purpose: string;
  readonly file: string;
  readonly beginsMs: number;
  readonly endsMs: number;
}

export interface CertificateOptions {
  /** Who must be restarted to read a new one: `netmaster` or `netplugin`. */
  readonly daemon: string;
  readonly now?: () => number;
}

const DAY_MS = 86_400_000;
/** Time enough to make new ones by day. */
const SOON_MS = 14 * DAY_MS;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** When the certificates end that this process uses, as it has read them. */
export class Certificates {
  readonly #terms: readonly Term[];
  readonly #daemon: string;
  readonly #now: () => number;

  /** @throws NetError INVALID, with file and purpose, when one cannot be read */
  constructor(files: readonly CertificateFile[], { daemon, now = Date.now }: CertificateOptions) {
    this.#terms = files.map(termOf);
    this.#daemon = daemon;
    this.#now = now;
  }

  /** What an admin must know: one ends soon, has ended, or is not valid yet. */
  fault(): string | undefined {
    const nowMs = this.#now();
    const found = this.#terms.filter(({ beginsMs, endsMs }) => endsMs - nowMs < SOON_MS || beginsMs > nowMs);
    const [worst, ...others] = found.sort((a, b) => a.endsMs - b.endsMs);
    if (worst === undefined) return undefined;
    const more =
      others.length === 0 ? "" : `, and ${others.length} more (${others.map((each) => each.purpose).join(", ")})`;
    const next = `make new ones (docs/install.md, section 2), copy them there and restart ${this.#daemon}`;
    return `certificate ${worst.purpose} (${worst.file}) ${stateOf(worst, nowMs)}${more}; ${next}`;
  }

  /** Metric `<prefix>certificate_expiration_timestamp_seconds`. */
  register(registry: Registry, prefix: string): void {
    const terms = this.#terms;
    new Gauge({
      name: `${prefix}certificate_expiration_timestamp_seconds`,
      help: "When a certificate ends that this process has read, in Unix time",
      labelNames: ["purpose"],
      registers: [registry],
      collect() {
        for (const { purpose, endsMs } of terms) this.set({ purpose }, endsMs / 1_000);
      },
    });
  }
}

/** Of several certificates in one file the first to end counts. */
function termOf({ purpose, file }: CertificateFile): Term {
  try {
    const all = [...readFileSync(file, "utf8").matchAll(PEM)].map(([pem]) => new X509Certificate(pem));
    if (all.length === 0) throw new NetError("INVALID", "it holds no certificate");
    return {
      ...{ purpose, file },
      beginsMs: Math.max(...all.map(({ validFrom }) => Date.parse(validFrom))),
      endsMs: Math.min(...all.map(({ validTo }) => Date.parse(validTo))),
    };
  } catch (error) {
    const { message } = asNetError(error, "read it");
    throw new NetError("INVALID", `Certificate ${purpose} (${file}) cannot be used: ${message}`, { cause: error });
  }
}

function stateOf({ beginsMs, endsMs }: Term, nowMs: number): string {
  if (endsMs <= nowMs) return `has ended on ${dateOf(endsMs)}`;
  if (beginsMs > nowMs) return `is valid from ${dateOf(beginsMs)} on; compare this machine's clock`;
  return `ends on ${dateOf(endsMs)}`;
}

function dateOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16)}Z`;
}
