import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../deploy/cluster/exec.ts";

export interface ImageSpec {
  /** As `localhost/name:tag`. */
  readonly name: string;
  /** Paths in the image → files of this machine. */
  readonly files: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

const PAUSE_SOURCE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/** A pod's first process: one static program that waits. */
export async function buildPause(directory: string): Promise<string> {
  const source = join(directory, "pause.c");
  const program = join(directory, "pause");
  writeFileSync(source, PAUSE_SOURCE);
  await run(["gcc", "-static", "-Os", "-o", program, source]);
  return program;
}

/** Writes an OCI image layout as a tar file, which runtimes import without a registry; returns its path. */
export async function buildImage(directory: string, spec: ImageSpec): Promise<string> {
  const work = join(directory, `image-${digestOf(Buffer.from(spec.name)).slice(0, 8)}`);
  rmSync(work, { recursive: true, force: true });
  const root = join(work, "root");
  for (const [path, file] of Object.entries(spec.files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    copyFileSync(file, join(root, path));
  }
  for (const folder of ["proc", "sys", "dev", "tmp", "etc"]) mkdirSync(join(root, folder), { recursive: true });
  const layout = join(work, "layout");
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  await run(["tar", "-C", root, "--numeric-owner", "--owner=0", "--group=0", "-cf", join(work, "layer.tar"), "."]);
  writeLayout(layout, readFileSync(join(work, "layer.tar")), spec);
  const archive = `${work}.tar`;
  await run(["tar", "-C", layout, "-cf", archive, "oci-layout", "index.json", "blobs"]);
  rmSync(work, { recursive: true, force: true });
  return archive;
}

/** The files of the OCI image layout specification 1.0. */
function writeLayout(layout: string, layer: Buffer, { name, command }: ImageSpec): void {
  const store = (bytes: Buffer, mediaType: string) => {
    const digest = digestOf(bytes);
    writeFileSync(join(layout, "blobs/sha256", digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const asJson = (value: unknown) => Buffer.from(JSON.stringify(value));
  const layerEntry = store(layer, "application/vnd.oci.image.layer.v1.tar");
  const config = {
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: command },
    rootfs: { type: "layers", diff_ids: [layerEntry.digest] },
  };
  const configEntry = store(asJson(config), "application/vnd.oci.image.config.v1+json");
  const manifest = { schemaVersion: 2, config: configEntry, layers: [layerEntry] };
  const manifestEntry = store(asJson(manifest), "application/vnd.oci.image.manifest.v1+json");
  const tag = name.slice(name.lastIndexOf(":") + 1);
  const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag };
  const index = { schemaVersion: 2, manifests: [{ ...manifestEntry, annotations }] };
  writeFileSync(join(layout, "index.json"), asJson(index));
  writeFileSync(join(layout, "oci-layout"), asJson({ imageLayoutVersion: "1.0.0" }));
}

function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
