// The application behind the proxies: nginx, or nghttpd for HTTP/2 where it is installed (a third of nginx's CPU); a few bytes.
import fs from "node:fs";
import path from "node:path";

import { freePorts, waitForPort } from "./ports.ts";
import { startPinned, type Running } from "./processes.ts";
import { findTool } from "./tools.ts";

export interface Upstream {
  readonly name: string;
  readonly port: number;
  stop(): Promise<void>;
}

const BODY = "ok";

/** Serves every path that the bench asks for, on the given core. */
export async function startUpstream(protocol: "http1" | "http2", core: number, folder: string): Promise<Upstream> {
  const [port = 0] = await freePorts(1);
  const useNghttpd = protocol === "http2" && findTool("nghttpd") !== undefined;
  const running = useNghttpd ? startNghttpd(port, core, folder) : startNginx(protocol, port, core, folder);
  await waitForPort(port, 5000, useNghttpd ? "nghttpd" : "nginx");
  return { name: useNghttpd ? "nghttpd" : "nginx", port, stop: () => running.stop() };
}

function startNghttpd(port: number, core: number, folder: string): Running {
  const root = path.join(folder, "root", "products");
  fs.mkdirSync(root, { recursive: true });
  fs.writeFileSync(path.join(root, "42"), BODY);
  const command = ["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", path.join(folder, "root"), String(port)];
  return startPinned(core, command, path.join(folder, "nghttpd.log"));
}

function startNginx(protocol: "http1" | "http2", port: number, core: number, folder: string): Running {
  const file = path.join(folder, "nginx.conf");
  fs.writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx-error.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; default_type text/plain;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port}${protocol === "http2" ? " http2" : ""}; location / { return 200 "${BODY}"; } }
}
`,
  );
  return startPinned(core, ["nginx", "-c", file, "-p", folder], path.join(folder, "nginx.log"));
}
