// What the cluster is made of and comes from Go's modules: built once for its sources into `.cache/kubernetes`, whoever asks first.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const SOURCES = path.join(import.meta.dirname, "sources");
export const CACHE = path.join(import.meta.dirname, "..", "..", "..", ".cache", "kubernetes");

const KUBERNETES = "v1.36.3";
const HELM = "v3.22.0";
const GATEWAY_API = "v1.6.3";

/** Without a version kubectl and the API server call themselves 0.0.0, and helm refuses charts that want a newer one. */
const KUBERNETES_FLAGS = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
  .flatMap((name) => [
    `-X ${name}.gitVersion=${KUBERNETES}`,
    `-X ${name}.gitMajor=1`,
    `-X ${name}.gitMinor=36`,
    `-X ${name}.gitTreeState=clean`,
    `-X ${name}.gitCommit=local`,
    `-X ${name}.buildDate=2026-01-01T00:00:00Z`,
  ])
  .join(" ");

interface Part {
  /** Folder in `sources`. */
  readonly source: string;
  /** Arguments of `go`, without where the output goes. */
  readonly build: readonly string[];
}

/** In the order of need: Kubernetes first, which takes longest (4 minutes from nothing on two cores, the others about one each). */
const PARTS = {
  kube: { source: "kube", build: ["build", "-trimpath", "-ldflags", `-s -w ${KUBERNETES_FLAGS}`, "."] },
  coredns: { source: "coredns", build: ["build", "-trimpath", "-ldflags", "-s -w", "."] },
  pause: { source: "pause", build: ["build", "-trimpath", "-ldflags", "-s -w", "pause.go"] },
  helm: { source: "kube", build: ["install", `helm.sh/helm/v3/cmd/helm@${HELM}`] },
  "echo-server": {
    source: "echo",
    build: ["build", "-trimpath", "-ldflags", "-s -w", "istio.io/istio/pkg/test/echo/cmd/server"],
  },
  "echo-client": {
    source: "echo",
    build: ["build", "-trimpath", "-ldflags", "-s -w", "istio.io/istio/pkg/test/echo/cmd/client"],
  },
  "gateway-conformance": { source: "conformance", build: ["test", "-c", "-trimpath", "-ldflags", "-s -w", "."] },
} satisfies Record<string, Part>;

export type PartName = keyof typeof PARTS;
export const PART_NAMES = Object.keys(PARTS) as readonly PartName[]; // as: the keys are the names

/**
 * Path of the program. Builds it when it is not there; where someone else is building it, waits.
 * @throws {Error} that names the part when it cannot be had (no Go, or no module proxy).
 */
export async function getPart(name: PartName): Promise<string> {
  const part: Part = PARTS[name];
  const binary = path.join(CACHE, "parts", `${name}-${hashOf(part)}`);
  if (fs.existsSync(binary)) return binary;
  fs.mkdirSync(path.dirname(binary), { recursive: true });
  // The lock is the kernel's: it is gone with whoever held it.
  const script = 'out=$1; shift; test -e "$out" || { "$@" && mv "$out.new" "$out"; }';
  const command = ["sh", "-c", script, "build", binary, ...commandFor(name, part, `${binary}.new`)];
  try {
    await run("flock", [`${binary}.lock`, ...command], {
      cwd: path.join(SOURCES, part.source),
      env: goEnvironment(),
      maxBuffer: 1 << 26,
    });
  } catch (cause) {
    throw new Error(`Cannot build ${name} for the test cluster (needs Go 1.26 and Go's module proxy): ${tail(cause)}`, {
      cause,
    });
  }
  return binary;
}

/** Folder of the Gateway API's definitions (experimental channel), for `kubectl apply --server-side -k`. */
export async function getGatewayApiFolder(): Promise<string> {
  const file = path.join(CACHE, "parts", `gateway-api-${GATEWAY_API}`);
  if (!fs.existsSync(file)) {
    try {
      const { stdout } = await run("go", ["mod", "download", "-json", `sigs.k8s.io/gateway-api@${GATEWAY_API}`], {
        cwd: path.join(SOURCES, "conformance"),
        env: goEnvironment(),
      });
      const { Dir } = JSON.parse(stdout) as { Dir: string }; // as: what `go help mod download` promises
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.cpSync(path.join(Dir, "config", "crd"), `${file}.${process.pid}`, { recursive: true });
      fs.renameSync(`${file}.${process.pid}`, file);
    } catch (cause) {
      if (!fs.existsSync(file))
        throw new Error(`Cannot get the Gateway API ${GATEWAY_API} from Go's module proxy: ${tail(cause)}`, { cause });
    }
  }
  return path.join(file, "experimental");
}

function goEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: `${process.env["PATH"] ?? ""}:/usr/local/go/bin`,
    CGO_ENABLED: "0",
  };
}

function commandFor(name: string, { build }: Part, out: string): string[] {
  const [verb = "", ...rest] = build;
  // `go install` names the file itself.
  if (verb === "install")
    return [
      "sh",
      "-c",
      'bin=$(mktemp -d "$1.XXXX"); trap \'rm -rf "$bin"\' EXIT; GOBIN=$bin go install "$3" && mv "$bin/$2" "$1"',
      "install",
      out,
      name,
      ...rest,
    ];
  return ["go", verb, "-o", out, ...rest];
}

function hashOf({ source, build }: Part): string {
  const hash = createHash("sha256").update(JSON.stringify(build));
  if (build[0] !== "install") {
    const folder = path.join(SOURCES, source);
    for (const file of fs.readdirSync(folder).sort())
      hash.update(file).update(fs.readFileSync(path.join(folder, file)));
  }
  return hash.digest("hex").slice(0, 12);
}

function tail(error: unknown): string {
  const said = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
  return said.trim().split("\n").slice(-12).join("\n") || String(error);
}
