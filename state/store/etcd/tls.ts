import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect } from "node:tls";
import { asNetError, NetError } from "../../errors.ts";
import type { EtcdTlsOptions } from "./options.ts";

/** TLS files as read, checked against each other and against today. */
export interface TlsMaterial {
  readonly ca: Buffer;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly serverName: string | undefined;
}

/** Reads the files and refuses, naming file and fault, what could only fail later as "unavailable". */
export async function loadTls(options: EtcdTlsOptions, nowMs: number = Date.now()): Promise<TlsMaterial> {
  const { caFile, certFile, keyFile, serverName } = options;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new NetError("INVALID", "Cannot use TLS to etcd: client certificate and key must be given together");
  }
  const ca = await readPem(caFile, "CA certificate");
  parseCertificate(ca, caFile, nowMs);
  if (certFile === undefined || keyFile === undefined) return { ca, cert: undefined, key: undefined, serverName };
  const cert = await readPem(certFile, "client certificate");
  const key = await readPem(keyFile, "client key");
  const parsed = parseCertificate(cert, certFile, nowMs);
  if (!parsed.checkPrivateKey(parseKey(key, keyFile))) {
    throw new NetError("INVALID", `Cannot use TLS to etcd: key ${keyFile} does not belong to certificate ${certFile}`);
  }
  return { ca, cert, key, serverName };
}

async function readPem(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw asNetError(error, `read the ${what} for etcd`, "INVALID");
  }
}

function parseCertificate(pem: Buffer, file: string, nowMs: number): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw asNetError(error, `use ${file} as a certificate for etcd`, "INVALID");
  }
  if (Date.parse(certificate.validTo) < nowMs) {
    throw new NetError("INVALID", `Cannot use TLS to etcd: certificate ${file} expired on ${certificate.validTo}`);
  }
  if (Date.parse(certificate.validFrom) > nowMs) {
    throw new NetError(
      "INVALID",
      `Cannot use TLS to etcd: certificate ${file} is not valid before ${certificate.validFrom}`,
    );
  }
  return certificate;
}

function parseKey(pem: Buffer, file: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw asNetError(error, `use ${file} as a key for etcd`, "INVALID");
  }
}

/** How long a server may take to refuse our certificate: in TLS 1.3 it does so after our side of the handshake. */
const REFUSAL_WAIT_MS = 500;

/**
 * Shakes hands with the endpoint by hand, to learn what gRPC hides behind "unavailable". Returns what is wrong with TLS, or
 * undefined when TLS is not the trouble.
 */
export function diagnoseTls(url: string, tls: TlsMaterial, timeoutMs: number): Promise<string | undefined> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      ca: tls.ca,
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      ...serverNameOption(tls.serverName, hostname),
      ALPNProtocols: ["h2"],
      timeout: timeoutMs,
    });
    const finish = (finding: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(finding);
    };
    let timer = setTimeout(finish, timeoutMs, undefined);
    socket.on("secureConnect", () => {
      clearTimeout(timer);
      timer = setTimeout(finish, REFUSAL_WAIT_MS, undefined);
      socket.resume();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => finish(isTlsTrouble(error) ? explain(error, tls) : undefined));
    socket.on("close", () => finish(undefined));
  });
}

function serverNameOption(serverName: string | undefined, hostname: string): { servername?: string } {
  if (serverName !== undefined) return { servername: serverName };
  return /^[\d.]+$|:/.test(hostname) ? {} : { servername: hostname };
}

function isTlsTrouble(error: NodeJS.ErrnoException): boolean {
  const code = error.code ?? "";
  return code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS") || /CERT|SIGNED|UNABLE_TO/.test(code);
}

function explain(error: NodeJS.ErrnoException, tls: TlsMaterial): string {
  const alert = /alert (bad certificate|certificate required|unknown ca|certificate expired|handshake failure)/i.exec(
    error.message,
  );
  if (alert === null) return `its certificate was not accepted by us: ${error.message}`;
  if (tls.cert === undefined) return `it demands a client certificate and none is configured (${alert[0]})`;
  return `it refused our client certificate (${alert[0]})`;
}
