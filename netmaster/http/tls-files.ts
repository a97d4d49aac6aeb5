import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { asNetError, NetError } from "../../state/errors.ts";

/** Paths of PEM files, as the flags `--<name>-cert`, `-key` and `-ca` give them. */
export interface TlsPaths {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authority of the peers' certificates. */
  readonly caFile?: string;
}

export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
}

/** Reads the files and refuses at start, naming flag and file, what could only fail later in every handshake. */
export function readTlsFiles(paths: TlsPaths, flags: string): TlsFiles {
  const cert = read(paths.certFile, `${flags}-cert`);
  const key = read(paths.keyFile, `${flags}-key`);
  const ca = paths.caFile === undefined ? undefined : read(paths.caFile, `${flags}-ca`);
  const certificate = parse(paths.certFile, `${flags}-cert`, () => new X509Certificate(cert));
  const privateKey = parse(paths.keyFile, `${flags}-key`, () => createPrivateKey(key));
  if (ca !== undefined) parse(paths.caFile ?? "", `${flags}-ca`, () => new X509Certificate(ca));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new NetError("INVALID", `${flags}-key ${paths.keyFile} does not belong to ${flags}-cert ${paths.certFile}`);
  }
  if (Date.parse(certificate.validTo) < Date.now()) {
    throw new NetError("INVALID", `${flags}-cert ${paths.certFile} expired on ${certificate.validTo}`);
  }
  return { cert, key, ca };
}

function read(file: string, flag: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw asNetError(error, `read ${flag}`, "INVALID");
  }
}

function parse<T>(file: string, flag: string, parser: () => T): T {
  try {
    return parser();
  } catch (error) {
    throw new NetError(
      "INVALID",
      `${flag} ${file} is not PEM that can be used: ${asNetError(error, "parse").message}`,
      {
        cause: error,
      },
    );
  }
}
