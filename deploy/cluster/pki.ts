import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./exec.ts";

const DAYS = "3650";

/** Certificate, key and authority of one party, as file paths. */
export interface Identity {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A small certificate authority for one cluster on one machine; its key never leaves `directory` (mode 0700). */
export async function createAuthority(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (existsSync(join(directory, "ca.crt"))) return;
  await newKey(join(directory, "ca.key"));
  const extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
  const subject = ["-subj", "/CN=contiv-ts sandbox authority", "-days", DAYS];
  await made(join(directory, "ca.crt"), [
    ...["openssl", "req", "-x509", "-new", "-key", join(directory, "ca.key")],
    ...subject,
    ...extensions,
  ]);
}

/** Issues a certificate for `commonName`, valid as server (for `addresses`) and as client. */
export async function issue(directory: string, commonName: string, addresses: readonly string[]): Promise<Identity> {
  const path = (suffix: string) => join(directory, `${commonName}.${suffix}`);
  const identity = { caFile: join(directory, "ca.crt"), certFile: path("crt"), keyFile: path("key") };
  if (existsSync(identity.certFile)) return identity;
  await newKey(identity.keyFile);
  const names = [`DNS:${commonName}`, ...addresses.map((address) => `IP:${address}`)].join(",");
  writeFileSync(path("ext"), `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  await run(["openssl", "req", "-new", "-key", identity.keyFile, "-out", path("csr"), "-subj", `/CN=${commonName}`]);
  await made(identity.certFile, [
    ...["openssl", "x509", "-req", "-in", path("csr"), "-days", DAYS, "-extfile", path("ext")],
    ...["-CA", identity.caFile, "-CAkey", join(directory, "ca.key"), "-set_serial", newSerial()],
  ]);
  return identity;
}

/** A certificate that exists is whole, whoever is killed meanwhile. */
async function made(certFile: string, argv: readonly string[]): Promise<void> {
  await run([...argv, "-out", `${certFile}.new`]);
  renameSync(`${certFile}.new`, certFile);
}

/** Random, because several nodes may ask at the same time. 19 bytes: positive, and within RFC 5280 §4.1.2.2. */
function newSerial(): string {
  return `0x${randomBytes(19).toString("hex")}`;
}

async function newKey(file: string): Promise<void> {
  await run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file]);
}
