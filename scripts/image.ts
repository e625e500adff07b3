// `npm run image`: Heddle's images without Docker, as OCI archives in dist/images, for `ctr images import` and others; made of the
// bundles of `npm run build`, which it runs first. The same bundles on the same system give the same digests.
// `--layout DIR` writes their files into folders of DIR instead, which the Dockerfile copies from.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { writeImage } from "./image/archive.ts";
import {
  makeCodeCacheLayer,
  makeCodeLayer,
  makeIptablesLayer,
  makeNodeLayer,
  settingsOf,
  TARGET_NAMES,
  TARGETS,
} from "./image/contents.ts";
import { getIptablesPrograms } from "./image/iptables.ts";

const ROOT = path.join(import.meta.dirname, "..");
const DIST = path.join(ROOT, "dist");

const { values } = parseArgs({ options: { layout: { type: "string" } } });
const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, "package.json"), "utf8")) as {
  readonly version: string;
}; // as: our own file
execFileSync(process.execPath, [path.join(ROOT, "scripts", "build.ts")], { stdio: ["ignore", "ignore", "inherit"] });

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const node = makeNodeLayer();
for (const name of TARGET_NAMES) {
  const target = TARGETS[name];
  const layers = [node];
  if (target.hasIptables) layers.push(makeIptablesLayer(node, getIptablesPrograms()));
  const code = makeCodeLayer(node, target, DIST);
  layers.push(code);
  if (target.hasCodeCache) layers.push(makeCodeCacheLayer(code, DIST));
  if (values.layout !== undefined) {
    const folder = path.resolve(values.layout, name);
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(folder, { recursive: true });
    for (const layer of layers) layer.writeTo(folder);
    console.log(`${folder}: ${megabytes(layers.reduce((sum, layer) => sum + layer.bytes, 0))}`);
    continue;
  }
  const reference = `heddle/${name}:${version}`;
  const file = path.join(DIST, "images", `${name}.tar`);
  const { digest } = writeImage(file, `docker.io/${reference}`, layers, settingsOf(target));
  const sizes = layers.map((layer) => megabytes(layer.bytes)).join(" + ");
  console.log(`${reference} ${digest.slice(0, 19)} ${sizes}`);
}
