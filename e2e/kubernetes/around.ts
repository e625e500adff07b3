// What runs around the tests of this folder: everything is fetched and built, images made, one cluster started; the tests then run
// inside of its namespaces, as a program on its node would, and share it.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

import { Cluster } from "./cluster/cluster.ts";
import { getEchoImage } from "./cluster/images.ts";
import { getGatewayApiFolder, getPart } from "./cluster/parts.ts";
import { startCluster } from "./cluster/start.ts";
import { getShopImage } from "./shop/image.ts";

const ROOT = path.join(import.meta.dirname, "..", "..");

/**
 * Runs `command` (the tests) in a cluster and gives its exit code. HEDDLE_CLUSTER=FOLDER takes a cluster that is there already
 * (`node e2e/kubernetes/cluster/up.ts`) instead of a new one.
 */
export async function runAround(command: readonly string[]): Promise<number> {
  // From inside nothing can be fetched any more.
  await Promise.all([getPart("gateway-conformance"), getGatewayApiFolder()]);
  await makeImages();
  const joined = process.env["HEDDLE_CLUSTER"];
  const images = [...imagesOfHeddle(), await getEchoImage(), await getShopImage()];
  if (joined !== undefined) {
    const cluster = Cluster.join(joined);
    for (const image of images) await cluster.importImage(image);
    return runIn(cluster, command);
  }
  const cluster = await startCluster({ images, print: (line) => console.log(line) });
  try {
    return await runIn(cluster, command);
  } finally {
    await cluster.stop();
  }
}

async function runIn(cluster: Cluster, command: readonly string[]): Promise<number> {
  const [file = "", ...args] = cluster.command(command);
  const child = spawn(file, args, { env: { ...cluster.env, HEDDLE_INSIDE: "true" }, stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null]; // as: what the event carries
  return code ?? 1;
}

/** Heddle's images, of the sources as they are. */
async function makeImages(): Promise<void> {
  if (!fs.existsSync(path.join(ROOT, "scripts", "image.ts"))) return;
  await promisify(execFile)(process.execPath, [path.join(ROOT, "scripts", "image.ts")], { cwd: ROOT });
}

function imagesOfHeddle(): string[] {
  const folder = path.join(ROOT, "dist", "images");
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .filter((file) => file.endsWith(".tar"))
    .map((file) => path.join(folder, file));
}
