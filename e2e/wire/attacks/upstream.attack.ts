// Clients of a hostile server: they only ask, and write down what the sidecar answers.
import http from "node:http";

import type { AttackReport, AttackTarget } from "./attacker.ts";
import { Tally } from "./raw-h2.ts";

const CLIENTS = 8;

export async function ask(target: AttackTarget): Promise<AttackReport> {
  const tally = new Tally();
  const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS });
  const end = performance.now() + target.ms;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (performance.now() < end) {
        tally.units++;
        tally.saw(await get(target.port, agent));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }),
  );
  agent.destroy();
  return tally.report;
}

/** `502 http_protocol_error`: the status, and the error of Proxy-Status (RFC 9209). */
function get(port: number, agent: http.Agent): Promise<string> {
  return new Promise((resolve) => {
    const request = http.get({ host: "127.0.0.1", port, agent, path: "/hostile" }, (response) => {
      const error = /error=(\w+)/.exec(String(response.headers["proxy-status"]))?.[1] ?? "without Proxy-Status";
      response.on("error", (cause) => resolve(`broken answer: ${cause.message}`));
      response.on("end", () => resolve(`${response.statusCode} ${error}`));
      response.resume();
    });
    request.setTimeout(10_000, () => request.destroy(new Error("no answer")));
    request.on("error", (cause) => resolve(`no answer: ${cause.message}`));
  });
}
