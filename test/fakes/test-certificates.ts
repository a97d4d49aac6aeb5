import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface KeyPairFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A CA for one test, with the certificates that tests of mutual TLS need. */
export interface TestCertificates {
  readonly caFile: string;
  /** For localhost and 127.0.0.1. */
  readonly server: KeyPairFiles;
  readonly client: KeyPairFiles;
  /** Of the same CA, but expired in 2021. */
  readonly expiredClient: KeyPairFiles;
  /** Of a CA that the server does not know. */
  readonly strangerClient: KeyPairFiles;
}

/** Makes keys and certificates with openssl in the directory. */
export async function makeCertificates(directory: string): Promise<TestCertificates> {
  await mkdir(directory, { recursive: true });
  const ca = await makeCa(directory, "ca");
  const stranger = await makeCa(directory, "stranger-ca");
  const [server, client, expiredClient, strangerClient] = await Promise.all([
    issue(directory, ca, { name: "server", dates: VALID }),
    issue(directory, ca, { name: "client", dates: VALID }),
    issue(directory, ca, { name: "expired", dates: EXPIRED }),
    issue(directory, stranger, { name: "stranger", dates: VALID }),
  ]);
  return { caFile: ca.certFile, server, client, expiredClient, strangerClient };
}

const VALID = ["20240101000000Z", "20990101000000Z"] as const;
const EXPIRED = ["20200101000000Z", "20210101000000Z"] as const;

async function makeCa(directory: string, name: string): Promise<KeyPairFiles> {
  const files = filesOf(directory, name);
  await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-days", "3650", "-subj", `/CN=${name}`, "-keyout", files.keyFile, "-out", files.certFile],
  ]);
  return files;
}

interface Issue {
  readonly name: string;
  readonly dates: readonly [string, string];
}

/** `openssl ca` is the one command that can date a certificate into the past. */
async function issue(directory: string, ca: KeyPairFiles, { name, dates }: Issue): Promise<KeyPairFiles> {
  const files = filesOf(directory, name);
  const home = join(directory, `${name}-issue`);
  await mkdir(home);
  await writeFile(join(home, "index.txt"), "");
  await writeFile(join(home, "ca.conf"), caConfig(home));
  const request = join(home, "request.pem");
  await run("openssl", [
    ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-subj", `/CN=${name}`, "-keyout", files.keyFile, "-out", request],
  ]);
  await run("openssl", [
    ...["ca", "-batch", "-notext", "-config", join(home, "ca.conf"), "-cert", ca.certFile, "-keyfile", ca.keyFile],
    ...["-startdate", dates[0], "-enddate", dates[1], "-in", request, "-out", files.certFile],
  ]);
  return files;
}

function caConfig(home: string): string {
  return `[ca]
default_ca = test
[test]
database = ${join(home, "index.txt")}
new_certs_dir = ${home}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = both
[any]
commonName = supplied
[both]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
`;
}

function filesOf(directory: string, name: string): KeyPairFiles {
  return { certFile: join(directory, `${name}.pem`), keyFile: join(directory, `${name}-key.pem`) };
}
