// `node bench/balancing.ts`: shares, keys that move and slow tails under each balancing policy, Heddle beside Envoy with one bootstrap.
// Shares and keys do not depend on how busy the machine is; latencies do: run it alone for these, with `--requests 5000`.
import { once } from "node:events";
import { spawn, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import http, { type Server } from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { getEnvoy } from "./tools/get-envoy.ts";

const { values } = parseArgs({
  options: { requests: { type: "string", default: "1000" }, instances: { type: "string", default: "10" } },
});
const requests = Number(values.requests);
const instances = Number(values.instances);
const SLOW_MS = 20;
const PARALLEL = 16;

const policies = {
  "round robin": { lb_policy: "ROUND_ROBIN" },
  "least request": { lb_policy: "LEAST_REQUEST" },
  random: { lb_policy: "RANDOM" },
  "ring hash": { lb_policy: "RING_HASH" },
  maglev: { lb_policy: "MAGLEV" },
  "peak EWMA": {
    load_balancing_policy: {
      policies: ["heddle.lb.v1.PeakEwma", "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"].map(
        (name) => ({
          typed_extension_config: {
            name,
            typed_config: name.startsWith("heddle")
              ? { "@type": "type.googleapis.com/xds.type.v3.TypedStruct", type_url: `type.googleapis.com/${name}` }
              : { "@type": `type.googleapis.com/${name}` },
          },
        }),
      ),
    },
  },
} as const;
type PolicyName = keyof typeof policies;

/** Applications that answer with their number; the last one is slow where it is asked to be. */
async function startApplications(): Promise<readonly Server[]> {
  const servers = Array.from({ length: instances }, (_, i) =>
    http.createServer((request, response) => {
      const delayMs = i === instances - 1 && request.headers["x-slow"] !== undefined ? SLOW_MS : 0;
      setTimeout(() => response.end(String(i)), delayMs);
    }),
  );
  await Promise.all(servers.map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
  return servers;
}

async function freePort(): Promise<number> {
  const server = http.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // as: it listens on TCP
  server.close();
  await once(server, "close");
  return port;
}

function bootstrapOf(policy: PolicyName, port: number, admin: number, ports: readonly number[]): unknown {
  const address = (number: number) => ({ socket_address: { address: "127.0.0.1", port_value: number } });
  const route = { cluster: "pool", hash_policy: [{ header: { header_name: "x-key" } }] };
  const manager = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    stat_prefix: "bench",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route }] }] },
    http_filters: [
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
      },
    ],
  };
  const filters = [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }];
  const endpoints = [{ lb_endpoints: ports.map((number) => ({ endpoint: { address: address(number) } })) }];
  return {
    admin: { address: address(admin) },
    static_resources: {
      listeners: [{ name: "in", address: address(port), filter_chains: [{ filters }] }],
      clusters: [
        {
          name: "pool",
          type: "STATIC",
          connect_timeout: "5s",
          load_assignment: { cluster_name: "pool", endpoints },
          ...policies[policy],
        },
      ],
    },
  };
}

async function start(who: "envoy" | "heddle", policy: PolicyName, ports: readonly number[]) {
  const [port, admin] = [await freePort(), await freePort()];
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-balancing-"));
  const file = path.join(folder, "bootstrap.json");
  fs.writeFileSync(file, JSON.stringify(bootstrapOf(policy, port, admin, ports)));
  const child: ChildProcess =
    who === "envoy"
      ? spawn(getEnvoy(), ["-c", file, "--concurrency", "1", "--use-dynamic-base-id", "-l", "off"])
      : spawn(process.execPath, [path.join(import.meta.dirname, "../cli/main.ts"), "proxy", "-c", file]);
  child.stdout?.resume();
  child.stderr?.resume();
  const agent = new http.Agent({ keepAlive: true, maxSockets: PARALLEL });
  const ask = (headers: Record<string, string>): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = http.get({ port, host: "127.0.0.1", agent, headers }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (part: string) => (body += part));
        response.on("end", () => resolve(response.statusCode === 200 ? body : `status ${response.statusCode}`));
      });
      request.on("error", reject);
    });
  for (let tries = 0; ; tries++) {
    const isThere = await ask({}).then(
      () => true,
      () => false,
    );
    if (isThere) break;
    if (tries > 300) throw new Error(`${who} does not answer on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const stop = async (): Promise<void> => {
    agent.destroy();
    const isOver = once(child, "exit");
    child.kill("SIGKILL");
    await isOver;
    fs.rmSync(folder, { recursive: true });
  };
  return { ask, stop };
}

/** The answers of numbered requests, `PARALLEL` at a time, and how long each took in ms. */
async function play(
  ask: (headers: Record<string, string>) => Promise<string>,
  headersOf: (i: number) => Record<string, string>,
): Promise<{ readonly answers: readonly string[]; readonly times: readonly number[] }> {
  const answers = Array.from({ length: requests }, () => "");
  const times: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < requests; i = next++) {
      const from = performance.now();
      answers[i] = await ask(headersOf(i));
      times.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
  return { answers, times: times.toSorted((left, right) => left - right) };
}

const servers = await startApplications();
const ports = servers.map((server) => (server.address() as AddressInfo).port); // as: they listen on TCP
console.log(
  `${instances} instances, ${requests} requests, ${PARALLEL} at a time; slow: one instance takes ${SLOW_MS} ms more\n`,
);
console.log("| policy | | least and greatest share | keys that move when one goes | p50 / p99 with a slow one |");
console.log("| --- | --- | --- | --- | --- |");
for (const policy of Object.keys(policies) as PolicyName[]) {
  for (const who of ["envoy", "heddle"] as const) {
    const all = await start(who, policy, ports);
    const before = await play(all.ask, (i) => ({ "x-key": `key-${i}` }));
    const slow = await play(all.ask, (i) => ({ "x-key": `key-${i}`, "x-slow": "1" }));
    await all.stop();
    let moved = "";
    if (policy === "ring hash" || policy === "maglev") {
      const fewer = await start(who, policy, ports.slice(1));
      const after = await play(fewer.ask, (i) => ({ "x-key": `key-${i}` }));
      await fewer.stop();
      const changed = before.answers.filter((answer, i) => answer !== after.answers[i]).length;
      const needed = before.answers.filter((answer) => answer === "0").length;
      moved = `${((changed * 100) / requests).toFixed(1)} %, of which ${((needed * 100) / requests).toFixed(1)} had to`;
    }
    const counts = ports.map((_, i) => before.answers.filter((answer) => answer === String(i)).length);
    const share = (count: number): string => ((count * 100) / requests).toFixed(1);
    const at = (part: number): string => (slow.times[Math.floor(requests * part)] ?? 0).toFixed(1);
    const shares = `${share(Math.min(...counts))} to ${share(Math.max(...counts))} %`;
    console.log(`| ${policy} | ${who} | ${shares} | ${moved} | ${at(0.5)} / ${at(0.99)} ms |`);
  }
}
for (const server of servers) {
  server.closeAllConnections();
  server.close();
}
