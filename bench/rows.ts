// The workloads: what is sent, and how the load generator's report is read.

import fs from "node:fs";

export interface Load {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx, and connections that failed. */
  readonly errors: number;
}

export interface Row {
  readonly name: string;
  readonly what: string;
  readonly protocol: "http1" | "http2";
  readonly tools: readonly string[];
  /** `logFile` may be written by the load generator, one line a request. */
  command(port: number, seconds: number, logFile: string): readonly string[];
  parse(said: string, logFile: string): Load;
}

/** What a browser or a service sends beside the pseudo-fields. */
const HEADERS: readonly string[] = [
  "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
  "accept: application/json, text/plain, */*",
  "accept-language: en-GB,en;q=0.9,de;q=0.8",
  "accept-encoding: identity",
  "authorization: Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJib2IiLCJhdWQiOiJzaG9wIiwiZXhwIjoxNzAwMDAwMDAwfQ.c2lnbmF0dXJl",
  "x-tenant: acme",
  "cookie: session=3f8a2c1b9d7e4f60; theme=dark",
  "cache-control: no-cache",
];

export const rows: readonly Row[] = [
  {
    name: "h1",
    what: "HTTP/1.1, wrk, 32 connections",
    protocol: "http1",
    tools: ["wrk"],
    command: (port, seconds) => [
      "wrk",
      "-t1",
      "-c32",
      `-d${seconds}s`,
      "--latency",
      ...HEADERS.flatMap((header) => ["-H", header]),
      `http://127.0.0.1:${port}/products/42?page=1`,
    ],
    parse: parseWrk,
  },
  {
    name: "h2c",
    what: "HTTP/2 without TLS, h2load, 4 connections with 16 streams",
    protocol: "http2",
    tools: ["h2load"],
    command: (port, seconds, logFile) => [
      "h2load",
      `--log-file=${logFile}`,
      "-t1",
      "-c4",
      "-m16",
      `-D${seconds}`,
      ...HEADERS.flatMap((header) => ["-H", header]),
      `http://127.0.0.1:${port}/products/42?page=1`,
    ],
    parse: parseH2load,
  },
];

function parseWrk(said: string): Load {
  const requests = number(/(\d+) requests in/, said);
  return {
    requests,
    requestsPerSecond: number(/Requests\/sec:\s+([\d.]+)/, said),
    p50Ms: milliseconds(/50%\s+([\d.]+)(us|ms|s)/, said),
    p99Ms: milliseconds(/99%\s+([\d.]+)(us|ms|s)/, said),
    errors:
      Number(/Non-2xx or 3xx responses: (\d+)/.exec(said)?.[1] ?? "0") +
      (/Socket errors: (.*)/.exec(said)?.[1]?.match(/\d+/g) ?? []).reduce((sum, count) => sum + Number(count), 0),
  };
}

/** h2load prints no percentiles: they are taken from its log, whose third column is a request's time in us. */
function parseH2load(said: string, logFile: string): Load {
  const times: number[] = [];
  for (const line of fs.readFileSync(logFile, "utf8").split("\n")) {
    const time = line.split("\t", 3)[2];
    if (time !== undefined) times.push(Number(time));
  }
  fs.rmSync(logFile);
  const sorted = Float64Array.from(times).sort();
  const percentile = (share: number): number => (sorted[Math.floor(sorted.length * share)] ?? Number.NaN) / 1000;
  return {
    requests: number(/(\d+) succeeded/, said),
    requestsPerSecond: number(/finished in [\d.]+\w+, ([\d.]+) req\/s/, said),
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    errors: number(/(\d+) failed/, said) + number(/, (\d+) 5xx/, said) + number(/, (\d+) 4xx/, said),
  };
}

function number(pattern: RegExp, said: string): number {
  const found = pattern.exec(said)?.[1];
  if (found === undefined) throw new Error(`Cannot read the load generator's report: ${pattern} is not in ${said}`);
  return Number(found);
}

function milliseconds(pattern: RegExp, said: string): number {
  const found = pattern.exec(said);
  return found === null ? Number.NaN : toMs(`${found[1]}${found[2]}`);
}

function toMs(text: string): number {
  const found = /^([\d.]+)(us|ms|s)$/.exec(text);
  const unit = { us: 0.001, ms: 1, s: 1000 }[found?.[2] ?? ""];
  return unit === undefined ? Number.NaN : Number(found?.[1]) * unit;
}
