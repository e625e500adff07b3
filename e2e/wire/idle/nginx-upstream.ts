// A real nginx as an upstream that closes by keepalive_timeout and keepalive_requests. It hands requests to servers that count
// them and never close, and repeats none itself.
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

import { getDebianPrograms } from "../../debian.ts";
import { freePort } from "../opaque-servers.ts";
import { until } from "../until.ts";
import type { Upstream } from "./upstream.ts";

/** A server block in front of each: `rules` are nginx's own words. */
export async function startNginx(
  behind: readonly { readonly upstream: Upstream; readonly rules: string }[],
): Promise<{ readonly all: readonly Upstream[]; stop(): Promise<void> }> {
  const nginx = getDebianPrograms({
    name: "nginx",
    packages: ["nginx", "libpcre2-8-0", "libssl3", "zlib1g", "libcrypt1"],
    folders: ["usr/sbin"],
    program: "nginx",
    versionFlag: "-v",
  });
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-e2e-nginx-"));
  const ports: number[] = [];
  for (let i = 0; i < behind.length; i++) ports.push(await freePort());
  const servers = behind.map(({ upstream, rules }, i) => makeServer(ports[i] ?? 0, upstream.port, rules));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (what) => `${what}_temp_path ${folder}/${what};`,
  );
  const file = path.join(folder, "nginx.conf");
  fs.writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http { access_log off; ${temporary.join(" ")}
${servers.join("\n")} }`,
  );
  const child = spawn(nginx.file("nginx"), ["-c", file, "-p", folder], {
    env: nginx.env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  await until("nginx listens", async () => {
    if (child.exitCode !== null)
      throw new Error(`nginx ended with ${child.exitCode}: ${fs.readFileSync(`${folder}/error.log`, "utf8")}`);
    return (await Promise.all(ports.map(answers))).every(Boolean);
  });
  return {
    all: behind.map(({ upstream }, i) => ({ port: ports[i] ?? 0, count: () => upstream.count() })),
    stop: async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

function makeServer(port: number, behindPort: number, rules: string): string {
  return `upstream behind${port} { server 127.0.0.1:${behindPort}; keepalive 1000; }
server { listen 127.0.0.1:${port} backlog=4096; ${rules} location / {
  proxy_pass http://behind${port}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
  proxy_hide_header x-connection; proxy_hide_header x-answered; add_header x-connection $connection; } }`;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
