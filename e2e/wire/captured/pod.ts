// One pod, alone in its network namespace: `heddle-init`, a sidecar, an application, and whoever calls from within it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";

import { callAll } from "./calls.ts";
import { getIptables } from "./iptables.ts";
import { APP, FAMILIES, NODE, PODS, type Call, type PodName } from "./mesh-plan.ts";

const ROOT = path.join(import.meta.dirname, "..", "..", "..");
/** The group of the proxy: what it sends is not redirected. As its user it could not read a tree that is another's. */
const PROXY = 1337;
const name = process.argv[2] as PodName; // as: nodes start pods so
const bootstrap = process.argv[3] ?? "";

const tools = getIptables();
const libraries = (tools.env["LD_LIBRARY_PATH"] ?? "").split(":").find((folder) => folder.includes("linux-gnu"));
const toolFolder = path.dirname(
  execFileSync("sh", ["-c", `command -v ${tools.file("xtables-nft-multi")}`], { env: tools.env }).toString(),
);
const env = {
  ...tools.env,
  PATH: `${toolFolder}:${process.env["PATH"] ?? ""}`,
  ...(libraries === undefined ? {} : { XTABLES_LIBDIR: `${libraries}/xtables` }),
};

process.send?.("here");
await once(process, "message");
for (const line of ["link set lo up", "link set eth0 up"]) ip(line);
for (const family of FAMILIES) {
  ip(
    family === "IPv4"
      ? `addr add ${PODS[name][family]}/24 dev eth0`
      : `addr add ${PODS[name][family]}/64 dev eth0 nodad`,
  );
  ip(`${family === "IPv4" ? "" : "-6 "}route add default via ${NODE[family]}`);
}
execFileSync(
  process.execPath,
  ["--no-warnings", path.join(ROOT, "cli/entries/init.ts"), "redirect", "--exclude-inbound-ports", String(APP.passed)],
  {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  },
);

const app = (): http.Server =>
  http.createServer((request, response) => {
    const { headers, socket, url } = request;
    const meshFields = Object.keys(headers).filter((field) => field.startsWith("heddle-"));
    const told = [
      `${name} ${url}`,
      `host ${headers.host}`,
      `at ${socket.localAddress} ${socket.localPort}`,
      `from ${socket.remoteAddress}`,
      `mesh fields ${meshFields.join()}`,
    ];
    response.end(`${told.map((one) => one.replaceAll("::ffff:", "")).join("; ")}\n`);
  });
const greeter = (): net.Server =>
  net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(`220 ${name} at ${socket.localAddress?.replace("::ffff:", "")}\r\n`);
  });
const inside = http.createServer((_, response) => response.end("must not be reached\n"));
for (const port of [APP.http, APP.unlisted, APP.passed]) await open(app(), port, "::");
for (const port of [APP.greeter, APP.unlistedGreeter]) await open(greeter(), port, "::");
await open(inside, APP.loopback, "127.0.0.1");

const proxy = spawn(
  process.execPath,
  ["--no-warnings", path.join(ROOT, "cli/main.ts"), "proxy", "-c", bootstrap, "--log-level", "warn"],
  {
    gid: PROXY,
    stdio: ["ignore", "pipe", "inherit"],
  },
);
proxy.once("exit", (code) => {
  throw new Error(`The sidecar of ${name} ended with ${code}`);
});
for await (const line of createInterface({ input: proxy.stdout })) if (line.includes('"ready"')) break;
proxy.stdout.resume();
process.on("message", (calls: readonly Call[]) => {
  void callAll(calls).then((answers) => process.send?.(answers));
});
process.send?.("ready");
process.once("disconnect", () => {
  proxy.removeAllListeners("exit");
  proxy.kill("SIGKILL");
  process.exit(0);
});

function ip(line: string): void {
  execFileSync(tools.file("ip"), line.split(" "), { env, stdio: ["ignore", "ignore", "inherit"] });
}

async function open(server: net.Server, port: number, host: string): Promise<void> {
  server.listen(port, host);
  await once(server, "listening");
}
