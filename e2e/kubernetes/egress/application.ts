// Runs in every pod of the egress tests: an application that tells what it sees, on a port of its Services and on one of none, and
// a caller that takes orders on a port which is left out of interception.
import dgram from "node:dgram";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

export const PORTS = { http: 8080, unlisted: 9100, udp: 9200, orders: 9999 } as const;

/** One call. Bytes are written in base64. */
export type Order =
  | {
      readonly kind: "http";
      readonly url: string;
      readonly method?: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      /** Of the address that the name is looked up for. */
      readonly family?: 4 | 6;
      /** For https, beside the cluster's own authority (NODE_EXTRA_CA_CERTS). */
      readonly ca?: string;
      /** Connect there, and take the URL for what the request says. */
      readonly at?: string;
      /** The pod's token goes with it. */
      readonly withToken?: boolean;
    }
  | {
      readonly kind: "tcp";
      readonly host: string;
      readonly port: number;
      readonly bytes: string;
      readonly answerBytes: number;
    }
  | { readonly kind: "udp"; readonly host: string; readonly port: number; readonly bytes: string }
  /** One request after the other on kept connections, until `/stop`. */
  | { readonly kind: "repeat"; readonly url: string; readonly lanes: number };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Text of HTTP; base64 of anything else. */
  readonly body: string;
  /** What went wrong. */
  readonly error?: string;
}

/** What the application answers. */
export interface Told {
  readonly pod: string;
  readonly path: string;
  readonly host: string;
  readonly at: string;
  readonly from: string;
  /** `x-forwarded-client-cert`: whom its proxy verified. */
  readonly client: string;
}

const LIMIT_MS = 30_000;
const pod = process.env["POD"] ?? "";
const tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token";

function failed(error: unknown): Answer {
  const { code, message } = error as { code?: string; message?: string }; // as: what errors have
  return { status: 0, headers: {}, body: "", error: code ?? message ?? String(error) };
}

const plainAgent = new http.Agent({ keepAlive: true });
/** A connection is in the access log when it ends. */
const secureAgent = new https.Agent({ keepAlive: false });

function call(order: Extract<Order, { kind: "http" }>, agent: http.Agent): Promise<Answer> {
  const { url, method = "GET", headers = {}, body, family, ca, at, withToken = false } = order;
  const token = withToken ? fs.readFileSync(tokenFile, "utf8") : undefined;
  const isSecure = url.startsWith("https:");
  const options: https.RequestOptions = {
    method,
    headers: {
      ...headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(at === undefined ? {} : { host: new URL(url).host }),
    },
    signal: AbortSignal.timeout(LIMIT_MS),
    ...(family === undefined ? {} : { family }),
    agent,
    ...(at === undefined ? {} : { hostname: at, servername: new URL(url).hostname, setHost: false }),
    ...(ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }),
  };
  return new Promise((resolve) => {
    const request = (isSecure ? https : http).request(url, options);
    request.on("error", (error) => resolve(failed(error)));
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.on("error", (error) => resolve(failed(error)));
      response.on("end", () => {
        const fields = Object.entries(response.headers).map(([name, value]) => [name, String(value)] as const);
        resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(fields), body: text });
      });
    });
    request.end(body);
  });
}

function callTcp({ host, port, bytes, answerBytes }: Extract<Order, { kind: "tcp" }>): Promise<Answer> {
  return new Promise((resolve) => {
    const got: Buffer[] = [];
    const socket = net.connect({ host, port });
    const end = (): void => {
      socket.destroy();
      resolve({ status: 0, headers: {}, body: Buffer.concat(got).toString("base64") });
    };
    socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error("no answer")));
    socket.on("error", (error) => resolve(failed(error)));
    socket.on("close", end);
    socket.on("data", (part: Buffer) => {
      got.push(part);
      if (Buffer.concat(got).length >= answerBytes) end();
    });
    socket.write(Buffer.from(bytes, "base64"));
  });
}

function callUdp({ host, port, bytes }: Extract<Order, { kind: "udp" }>): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket(net.isIPv6(host) ? "udp6" : "udp4");
    // A datagram may be lost, above all on a busy machine.
    const send = (): void => socket.send(Buffer.from(bytes, "base64"), port, host);
    const again = setInterval(send, 1000);
    const limit = setTimeout(() => end(failed(new Error("no answer"))), LIMIT_MS);
    const end = (answer: Answer): void => {
      clearInterval(again);
      clearTimeout(limit);
      socket.close();
      resolve(answer);
    };
    socket.on("error", (error) => end(failed(error)));
    socket.on("message", (part) => end({ status: 0, headers: {}, body: part.toString("base64") }));
    send();
  });
}

/** Requests that the application has now. */
let active = 0;
let isRepeating = false;
let lanes: Promise<unknown> = Promise.resolve();
let counts: Record<string, number> = {};

/** What came of the calls: their number by status with its reason, or error. */
function repeat({ url, lanes: count }: Extract<Order, { kind: "repeat" }>): void {
  counts = {};
  isRepeating = true;
  const agent = new http.Agent({ keepAlive: true, maxSockets: count });
  const lane = async (): Promise<void> => {
    while (isRepeating) {
      const { status, headers, error } = await call({ kind: "http", url }, agent);
      const what = error ?? [status, headers["proxy-status"]].filter(Boolean).join(" ");
      counts[what] = (counts[what] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  lanes = Promise.all(Array.from({ length: count }, lane)).then(() => agent.destroy());
}

async function carryOut(order: Order): Promise<Answer> {
  switch (order.kind) {
    case "http":
      return call(order, order.url.startsWith("https:") ? secureAgent : plainAgent);
    case "tcp":
      return callTcp(order);
    case "udp":
      return callUdp(order);
    case "repeat":
      repeat(order);
      return { status: 0, headers: {}, body: "" };
    default:
      return order satisfies never;
  }
}

async function takeOrder(text: string, url: string | undefined): Promise<unknown> {
  if (url === "/active") return active;
  if (url !== "/stop") return carryOut(JSON.parse(text) as Order); // as: egress.e2e.ts sends it
  isRepeating = false;
  await lanes;
  return counts;
}

function tell(request: http.IncomingMessage): Told {
  const { headers, socket, url = "" } = request;
  const clean = (address = ""): string => address.replace("::ffff:", "");
  return {
    pod,
    path: url,
    host: headers.host ?? "",
    at: `${clean(socket.localAddress)} ${socket.localPort}`,
    from: clean(socket.remoteAddress),
    client: String(headers["x-forwarded-client-cert"] ?? ""),
  };
}

if (import.meta.main) {
  const application = http.createServer((request, response) => {
    active++;
    response.on("close", () => active--);
    const delayMs = Number(new URL(request.url ?? "/", "http://here").searchParams.get("ms") ?? "0");
    setTimeout(() => response.end(JSON.stringify(tell(request))), delayMs);
  });
  application.listen(PORTS.http, "::");
  http.createServer((request, response) => response.end(JSON.stringify(tell(request)))).listen(PORTS.unlisted, "::");
  const echo = dgram.createSocket({ type: "udp6", ipv6Only: false });
  echo.on("message", (part, from) => {
    echo.send(`${part.toString()} from ${from.address.replace("::ffff:", "")}`, from.port, from.address);
  });
  echo.bind(PORTS.udp, "::");
  http
    .createServer((request, response) => {
      let text = "";
      request.on("data", (part: Buffer) => (text += part.toString()));
      request.on("end", () => {
        void takeOrder(text, request.url).then((answer) => response.end(JSON.stringify(answer)));
      });
    })
    .listen(PORTS.orders, "::");
  // As servers do that are asked to end: no new connection, and what has begun is finished.
  process.once("SIGTERM", () => {
    application.close(() => process.exit(0));
    application.closeIdleConnections();
  });
}
