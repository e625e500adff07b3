// The other proxies: haproxy and nginx, with as much of the same work as each knows, and the platform's own stacks with nothing.
import fs from "node:fs";
import path from "node:path";

import { freePorts, waitForPort } from "../tools/ports.ts";
import { PROXY_CORE, startPinned } from "../tools/processes.ts";
import type { Protocol } from "./bootstrap.ts";
import type { Contender } from "./contender.ts";

export type PeerName = "haproxy" | "nginx" | "node";

interface PeerSetup {
  readonly protocol: Protocol;
  readonly upstream: number;
  readonly folder: string;
}

/** Resolves when it listens. */
export async function startPeer(name: PeerName, setup: PeerSetup): Promise<Contender> {
  const [port = 0] = await freePorts(1);
  const command = commands[name](port, setup);
  const running = startPinned(PROXY_CORE, command, path.join(setup.folder, `${name}-${port}.log`));
  try {
    await waitForPort(port, 15_000, `${name} (see ${setup.folder})`);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return { port, pids: [running.pid], stop: () => running.stop() };
}

const commands: Readonly<Record<PeerName, (port: number, setup: PeerSetup) => readonly string[]>> = {
  haproxy(port, { protocol, upstream, folder }) {
    const file = path.join(folder, "haproxy.cfg");
    const proto = protocol === "http2" ? " proto h2" : "";
    const format =
      `{"time":"%tr","method":"%HM","path":"%HP","protocol":"%HV","status":%ST,"duration_ms":%Ta,` +
      `"request_id":"%[var(txn.id)]","upstream":"%s","flags":"%ts"}`;
    fs.writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  log-format '${format}'
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
  retries 2
  retry-on conn-failure 503
frontend bench
  bind 127.0.0.1:${port}${proto}
  stick-table type ip size 1k expire 10s store http_req_rate(1s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 16000000 }
  http-request set-header x-request-id %[uuid()] unless { req.hdr(x-request-id) -m found }
  http-request set-var(txn.id) req.hdr(x-request-id)
  default_backend app
backend app
  server app 127.0.0.1:${upstream}${proto} check inter 60s observe layer7 error-limit 5 on-error mark-down
`,
    );
    return ["haproxy", "-f", file];
  },
  nginx(port, { upstream, folder }) {
    const file = path.join(folder, "nginx.conf");
    const format =
      `{"time":"$time_iso8601","method":"$request_method","path":"$request_uri","status":$status,` +
      `"duration":$request_time,"request_id":"$request_id","upstream":"$upstream_addr"}`;
    const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder};`);
    fs.writeFileSync(
      file,
      `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx-error.log;
events { worker_connections 4096; }
http {
  log_format bench escape=json '${format}';
  access_log ${folder}/nginx-access.log bench buffer=64k flush=1s;
  keepalive_requests 1000000000; ${folders.join(" ")}
  upstream app { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id; proxy_next_upstream error http_503; proxy_next_upstream_tries 3;
    }
  }
}
`,
    );
    return ["nginx", "-c", file, "-p", folder];
  },
  node(port, { protocol, upstream }) {
    const script = path.join(import.meta.dirname, "..", "baselines", `${protocol}.ts`);
    return [process.execPath, script, String(port), String(upstream)];
  },
};
