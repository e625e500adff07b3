// Runs alone in a network namespace, which is the world outside of a pod: makes the pod's namespace, calls into it, and tells what
// both found.
import { spawn, execFileSync } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import path from "node:path";

import { getIptables } from "../captured/iptables.ts";
import { callAll, greet, peerOf } from "./call.ts";
import { ADDRESSES, CASES, type Family, type Findings } from "./cases.ts";

const tools = getIptables();
const run = (line: string): void => {
  execFileSync(tools.file("ip"), line.split(" "), { env: tools.env, stdio: ["ignore", "ignore", "inherit"] });
};

const pod = spawn("unshare", ["-n", process.execPath, "--no-warnings", path.join(import.meta.dirname, "pod.ts")], {
  stdio: ["ignore", "inherit", "inherit", "ipc"],
});
pod.on("exit", (code) => {
  if (code !== 0) process.exit(1);
});
const told = async (): Promise<unknown> => (await once(pod, "message"))[0] as unknown;

await told();
run(`link add outside type veth peer name eth0 netns ${pod.pid}`);
run("link set lo up");
run("link set outside up");
for (const [family, { outside, excluded }] of Object.entries(ADDRESSES)) {
  run(`addr add ${outside}/${family === "IPv4" ? 24 : 64} dev outside${family === "IPv4" ? "" : " nodad"}`);
  run(`addr add ${excluded}/${family === "IPv4" ? 32 : 128} dev lo${family === "IPv4" ? "" : " nodad"}`);
}
for (const port of [53, 80, 5432, 8050, 15_020]) await greet(port, (socket) => `outside from ${peerOf(socket)}`);
const echo = dgram.createSocket("udp4");
echo.on("message", (bytes, from) => echo.send(`echo of ${bytes.toString()}`, from.port, from.address));
echo.bind(53);
await once(echo, "listening");

pod.send("network");
await told();
const outsideCalls = async (family: Family): Promise<readonly string[]> =>
  callAll(
    CASES.filter(({ caller }) => caller === "outside").map(({ to, port }) => ({ host: ADDRESSES[family][to], port })),
  );
const fromOutside = { IPv4: await outsideCalls("IPv4"), IPv6: await outsideCalls("IPv6") };
pod.send("outside has called");
const found = (await told()) as Findings; // as: pod.ts wrote it

const merge = (family: Family): readonly string[] => {
  const outside = [...fromOutside[family]];
  const inside = [...found.redirected[family]];
  return CASES.map(({ caller }) => (caller === "outside" ? outside : inside).shift() ?? "nothing");
};
process.stdout.write(
  `\n${JSON.stringify({ ...found, redirected: { IPv4: merge("IPv4"), IPv6: merge("IPv6") } } satisfies Findings)}\n`,
);
process.exit(0);
