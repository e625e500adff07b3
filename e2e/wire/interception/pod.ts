// The pod: an application, what listens where a proxy would, and `heddle-init` as its init container runs it.
import { execFile, execFileSync, spawnSync } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";

import { makeRules } from "#cli/init/rules.ts";
import { parseInterception } from "#cli/init/settings.ts";
import { formatRestore, parseSaved } from "#cli/init/table.ts";
import { anyFlags } from "#cli/init/testing/settings.ts";
import { loadOriginalDestination } from "#proxy/listener/original-destination.ts";
import { getIptables } from "../captured/iptables.ts";
import { greet, peerOf, type Call } from "./call.ts";
import {
  ADDRESSES,
  CALLERS,
  CASES,
  FLAGS,
  type Ended,
  type Family,
  type Findings,
  type TableFindings,
} from "./cases.ts";

const INIT = path.join(import.meta.dirname, "../../../cli/entries/init.ts");
const FAMILIES = ["IPv4", "IPv6"] as const;
const tools = getIptables();
const toolFolder = path.dirname(
  execFileSync("sh", ["-c", `command -v ${tools.file("xtables-nft-multi")}`], { env: tools.env }).toString(),
);
const libraries = (tools.env["LD_LIBRARY_PATH"] ?? "").split(":").find((folder) => folder.includes("x86_64"));
const env = {
  ...tools.env,
  PATH: `${toolFolder}:${process.env["PATH"] ?? ""}`,
  ...(libraries === undefined ? {} : { XTABLES_LIBDIR: `${libraries}/xtables` }),
};

const heard = async (): Promise<unknown> => (await once(process, "message"))[0] as unknown;
const tell = (message: unknown): void => void process.send?.(message);

tell("here");
await heard();
for (const line of ["link set lo up", "link set eth0 up"]) ip(line);
for (const family of FAMILIES) {
  const { pod, outside } = ADDRESSES[family];
  ip(family === "IPv4" ? `addr add ${pod}/24 dev eth0` : `addr add ${pod}/64 dev eth0 nodad`);
  ip(`${family === "IPv4" ? "" : "-6 "}route add default via ${outside}`);
}
const originalDestination = loadOriginalDestination();
for (const port of [15_001, 15_006])
  await greet(port, (socket) => {
    const { address = "nothing", port: original = 0 } = originalDestination(socket) ?? {};
    return `${port} for ${address} ${original}`;
  });
for (const port of [8080, 9090]) await greet(port, (socket) => `application from ${peerOf(socket)}`);
await greet(15_020, (socket) => `health from ${peerOf(socket)}`);

const nft = tables("nft");
need(init(["redirect", ...FLAGS]));
const redirected = { IPv4: await callers("IPv4"), IPv6: await callers("IPv6") };
const datagram = await askDatagram();
tell("outside may call");
await heard();

const again = init(["redirect", ...FLAGS]).text;
const whenRedirected = verify(65_532, FLAGS);
const proxyUser = verify(1337, FLAGS);
const refused = fc.sample(anyFlags, { numRuns: 40, seed: 3 }).flatMap(tryReal);
need(init(["clean"]));
const findings: Findings = {
  redirected,
  again,
  datagram,
  cleaned: { IPv4: await callOutside("IPv4"), IPv6: await callOutside("IPv6") },
  tables: { nft, legacy: tables("legacy") },
  refused,
  verified: { redirected: whenRedirected, cleaned: verify(65_532, []), proxyUser },
  ended: {
    unprivileged: init(["redirect"], { user: 65_532 }),
    noIpv6Tables: withoutIpv6Tables(),
    noIpv6TablesNoAddress: (ip("-6 addr flush dev eth0 scope global"), withoutIpv6Tables()),
  },
};
tell(findings);
process.disconnect?.();
process.exit(0);

function ip(line: string): void {
  execFileSync(tools.file("ip"), line.split(" "), { env, stdio: ["ignore", "ignore", "inherit"] });
}

/** Runs `heddle-init`; as `user` it has no capability. */
function init(args: readonly string[], { user = 0, path: found = env.PATH } = {}): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--no-warnings", INIT, ...args], {
    env: { ...env, PATH: found },
    encoding: "utf8",
    uid: user,
    gid: user,
  });
  return { code: status ?? -1, text: stdout + stderr };
}

function need({ code, text }: Ended): void {
  if (code !== 0) throw new Error(`heddle-init ended with ${code}: ${text}`);
}

function verify(user: number, flags: readonly string[]): Ended {
  return init(["verify", ...flags], { user });
}

/** What the callers of the pod find, in the order of the cases. */
async function callers(family: Family): Promise<readonly string[]> {
  const at = ADDRESSES[family];
  const answers = new Map<object, string>();
  for (const [name, user] of Object.entries(CALLERS)) {
    const own = CASES.filter(({ caller }) => caller === name);
    const calls = own.map(({ to, port, from }) => ({
      host: at[to],
      port,
      ...(from === undefined ? {} : { localAddress: at[from] }),
    }));
    (await as(user, calls)).forEach((answer, i) => answers.set(own[i] ?? {}, answer));
  }
  return CASES.filter(({ caller }) => caller !== "outside").map((one) => answers.get(one) ?? "nothing");
}

async function callOutside(family: Family): Promise<string> {
  const [answer] = await as(CALLERS.application, [{ host: ADDRESSES[family].outside, port: 80 }]);
  return answer ?? "nothing";
}

/** Not at once: this process answers some of the calls. */
async function as(
  user: { readonly uid: number; readonly gid: number },
  calls: readonly Call[],
): Promise<readonly string[]> {
  const file = path.join(import.meta.dirname, "callers.ts");
  const args = ["--no-warnings", file, JSON.stringify(calls)];
  const { stdout } = await promisify(execFile)(process.execPath, args, user);
  return JSON.parse(stdout) as readonly string[]; // as: callers.ts wrote it
}

async function askDatagram(): Promise<string> {
  const client = dgram.createSocket("udp4");
  client.send("a question", 53, ADDRESSES.IPv4.outside);
  const [answer] = (await once(client, "message")) as [Buffer];
  client.close();
  return answer.toString();
}

type Kind = "nft" | "legacy";

function multi(backend: Kind, args: readonly string[], input = ""): string {
  return execFileSync(path.join(toolFolder, `xtables-${backend}-multi`), args, {
    env,
    input,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "pipe"],
  });
}

function save(backend: Kind): string {
  return ["iptables-save", "ip6tables-save"]
    .map((program) =>
      multi(backend, [program, "-t", "nat"])
        .replaceAll(/^#.*\n/gm, "")
        .replaceAll(/\[\d+:\d+\]/g, ""),
    )
    .join("");
}

function tables(backend: Kind): TableFindings {
  const redirect = (...flags: readonly string[]): void => need(init(["redirect", "--iptables", backend, ...flags]));
  redirect(...FLAGS);
  const once_ = save(backend);
  redirect(...FLAGS);
  const twice = save(backend);
  redirect("--include-outbound-cidrs", "10.0.0.0/8", "--outbound-port", "16001");
  multi(backend, ["iptables", "-t", "nat", "-N", "HEDDLE_OLDER"]);
  multi(backend, ["iptables", "-t", "nat", "-A", "OUTPUT", "-j", "HEDDLE_OLDER"]);
  redirect(...FLAGS);
  const changedBack = save(backend);
  multi(backend, ["iptables", "-t", "nat", "-A", "OUTPUT", "-d", "1.2.3.4/32", "-j", "RETURN"]);
  need(init(["clean"]));
  const cleaned = save(backend);
  multi(backend, ["iptables", "-t", "nat", "-D", "OUTPUT", "-d", "1.2.3.4/32", "-j", "RETURN"]);
  return { once: once_, twice, changedBack, cleaned };
}

/** Whether the real tools take what is made of these settings; they change nothing. */
function tryReal(flags: Readonly<Record<string, string>>): readonly string[] {
  const wanted = parseInterception(flags, {});
  const problems: string[] = [];
  for (const backend of ["nft", "legacy"] as const) {
    for (const family of FAMILIES) {
      const program = family === "IPv4" ? "iptables-restore" : "ip6tables-restore";
      try {
        multi(backend, [program, "--noflush", "--test"], formatRestore(makeRules(wanted, family), parseSaved("")));
      } catch (error) {
        problems.push(`${program} (${backend}) ${JSON.stringify(flags)}: ${String(error)}`);
      }
    }
  }
  return problems;
}

/** As on a node whose kernel has no nat table for IPv6. */
function withoutIpv6Tables(): Ended {
  const folder = mkdtempSync(path.join(os.tmpdir(), "heddle-tools-"));
  const real = path.join(toolFolder, "xtables-nft-multi");
  symlinkSync("/bin/sh", path.join(folder, "sh"));
  const file = path.join(folder, "xtables-nft-multi");
  writeFileSync(
    file,
    `#!/bin/sh\ncase "$1" in ip6*) echo "Table does not exist" >&2; exit 3;; esac\nexec ${real} "$@"\n`,
  );
  chmodSync(file, 0o755);
  try {
    return init(["redirect", "--iptables", "nft"], { path: folder });
  } finally {
    rmSync(folder, { recursive: true });
    need(init(["clean"]));
  }
}
