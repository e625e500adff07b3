// An OCI image as one archive, which containerd and others import: https://github.com/opencontainers/image-spec
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

import { makeTar, type TarEntry } from "./tar.ts";
import type { ImageTree } from "./tree.ts";

/** https://github.com/opencontainers/image-spec/blob/main/config.md#properties */
export interface ImageSettings {
  readonly User?: string;
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
}

export interface WrittenImage {
  /** Of the manifest; the same files and settings give the same one. */
  readonly digest: string;
  /** Of the files, without compression. */
  readonly bytes: number;
}

const OCI = "application/vnd.oci.image";

/** Writes the image `reference` to `file`; the lowest layer comes first. */
export function writeImage(
  file: string,
  reference: string,
  layers: readonly ImageTree[],
  settings: ImageSettings,
): WrittenImage {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const blobs: TarEntry[] = [];
  const add = (mediaType: string, bytes: Buffer): { mediaType: string; digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    const name = `blobs/sha256/${hex}`;
    if (!blobs.some((blob) => blob.path === name)) blobs.push({ path: name, kind: "file", mode: 0o644, bytes });
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const addJson = (mediaType: string, value: unknown): ReturnType<typeof add> =>
    add(mediaType, Buffer.from(JSON.stringify(value)));

  const tars = layers.map((layer) => add(`${OCI}.layer.v1.tar`, makeTar(layer.entries())));
  const config = addJson(`${OCI}.config.v1+json`, {
    architecture,
    os: "linux",
    config: settings,
    rootfs: { type: "layers", diff_ids: tars.map(({ digest }) => digest) },
  });
  const manifestType = `${OCI}.manifest.v1+json`;
  const manifest = addJson(manifestType, { schemaVersion: 2, mediaType: manifestType, config, layers: tars });
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        ...manifest,
        platform: { architecture, os: "linux" },
        annotations: {
          "io.containerd.image.name": reference,
          "org.opencontainers.image.ref.name": reference.split(":").at(-1),
        },
      },
    ],
  };
  const text = (name: string, value: unknown): TarEntry => ({
    path: name,
    kind: "file",
    mode: 0o644,
    bytes: Buffer.from(JSON.stringify(value)),
  });
  const entries = [text("oci-layout", { imageLayoutVersion: "1.0.0" }), text("index.json", index), ...blobs];
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  fs.writeFileSync(draft, makeTar(entries));
  fs.renameSync(draft, file);
  return { digest: manifest.digest, bytes: tars.reduce((sum, { size }) => sum + size, 0) };
}
