// One configuration for Heddle and Envoy, one request to both: their answers side by side.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import type { TestContext } from "node:test";

import { parse } from "yaml";

import { atEnd } from "./cleanup.ts";
import { Envoy } from "./envoy.ts";
import { Proxy, type ProxyConfig } from "./proxy.ts";

export interface Both {
  readonly heddle: Proxy;
  readonly envoy: Envoy;
}

export async function startBoth(t: TestContext, config: ProxyConfig): Promise<Both> {
  const heddle = await Proxy.start(config);
  atEnd(t, () => heddle.stop());
  const envoy = await Envoy.start(config);
  atEnd(t, () => envoy.stop());
  return { heddle, envoy };
}

/** The bootstrap of a page of the manual: its listener on a port of the system's choice, its cluster on the one given. */
export function exampleOf(
  page: string,
  upstreamPort: number,
  replace: Readonly<Record<string, string>> = {},
): ProxyConfig {
  const text = fs.readFileSync(path.join(import.meta.dirname, "../../docs/filters", page), "utf8");
  let yaml = /^```yaml\n(static_resources:.*?)^```/ms.exec(text)?.[1] ?? "";
  const ports = { "port_value: 8080": "port_value: 0", "port_value: 9090": `port_value: ${upstreamPort}` };
  for (const [from, to] of Object.entries({ ...ports, ...replace })) {
    if (!yaml.includes(from)) throw new Error(`the example of ${page} has no ${from}`);
    yaml = yaml.replace(from, to);
  }
  return (parse(yaml) as { static_resources: ProxyConfig }).static_resources; // as: the page has Envoy's bootstrap
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What clients see of an answer. */
export interface Seen {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly grpcStatus: string | undefined;
  readonly grpcMessage: string | undefined;
  readonly body: string;
}

/** Over HTTP/1.1. */
export function ask(port: number, { method = "GET", path: target, body, headers = {} }: Asked): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, method, path: target, headers }, (answer) => {
      let text = "";
      answer.setEncoding("latin1");
      answer.on("data", (piece: string) => (text += piece));
      answer.once("error", reject);
      answer.once("end", () => {
        const one = (name: string): string | undefined => [answer.headers[name]].flat()[0];
        resolve({
          status: answer.statusCode,
          type: one("content-type"),
          grpcStatus: one("grpc-status"),
          grpcMessage: one("grpc-message"),
          body: text,
        });
      });
    });
    request.once("error", reject);
    request.end(body);
  });
}
