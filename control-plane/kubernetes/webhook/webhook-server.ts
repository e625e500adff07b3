// The HTTPS server that the API server asks about new pods: POST /inject, and GET /ready for the kubelet.
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Watched } from "#lib/watched.ts";
import type { InjectionSettings } from "../injector/settings.ts";
import { admitPod, NoReviewError, type AdmissionVerdict } from "./admission.ts";

/** In PEM. */
export interface WebhookCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface WebhookOptions {
  readonly address: SocketAddress;
  /** Undefined until there is one; new connections get the current one. */
  readonly certificate: Watched<WebhookCertificate | undefined>;
  readonly settings: InjectionSettings;
  readonly version: string;
  readonly log: Log;
  /** Before an answer with a proxy, never for a dry run: what its pod needs in its namespace. A failure is logged, and the pod waits for it. */
  readonly prepareNamespace: (namespace: string) => Promise<void>;
}

export interface WebhookServer {
  readonly port: number;
  readonly counts: Readonly<Record<AdmissionVerdict["result"] | "failed", number>>;
  close(): Promise<void>;
}

/** A pod has at most 1.5 MiB in etcd; a review holds it once, and its JSON may be longer than what is kept. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** The API server waits 10 s by default, and asks another replica never. */
const PREPARE_MS = 3000;

/** @throws when the address cannot be bound. */
export async function startWebhookServer(options: WebhookOptions): Promise<WebhookServer> {
  const { address, certificate, log } = options;
  const counts = { injected: 0, skipped: 0, refused: 0, failed: 0 };
  const server = createServer(
    {
      minVersion: "TLSv1.2",
      requestTimeout: 10_000,
      headersTimeout: 5000,
      handshakeTimeout: 5000,
      keepAliveTimeout: 90_000,
    },
    (request, response) => {
      serve(request, response, options).then(
        (result) => {
          if (result !== undefined) counts[result]++;
        },
        (error: unknown) => {
          counts.failed++;
          log.error("an admission review failed", { reason: describeError(error) });
          send(response, 500, "text/plain", `${describeError(error)}\n`);
        },
      );
    },
  );
  server.on("tlsClientError", (error) => log.debug("a handshake with the webhook failed", { reason: error.message }));
  const unsubscribe = certificate.subscribe((current) => {
    if (current !== undefined) server.setSecureContext({ ...current, minVersion: "TLSv1.2" });
  });
  await listen(server, address);
  // As when there are too many open files: the connection is lost, the server is not.
  server.on("error", (error) => log.warn("the webhook could not accept a connection", { reason: error.message }));
  return {
    // A TCP server's address is never text.
    port: (server.address() as AddressInfo).port,
    counts,
    close: async () => {
      unsubscribe();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      });
    },
  };
}

function listen(server: Server, address: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Error(`Cannot listen on ${formatAddress(address)}: ${cause.message}`, { cause })),
    );
    server.listen(address.port, address.address, resolve);
  });
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: WebhookOptions,
): Promise<AdmissionVerdict["result"] | undefined> {
  const path = URL.parse(request.url ?? "/", "https://webhook")?.pathname;
  if (path === "/ready") {
    send(response, 200, "text/plain", "ready\n");
    return undefined;
  }
  if (path !== "/inject" || request.method !== "POST") {
    send(response, path === "/inject" ? 405 : 404, "text/plain", "POST /inject is what is answered here\n");
    return undefined;
  }
  const body = await readBody(request);
  if (body === undefined) {
    send(response, 413, "text/plain", `An AdmissionReview may have ${MAX_BODY_BYTES} bytes\n`);
    return undefined;
  }
  let verdict: AdmissionVerdict;
  try {
    verdict = admitPod(parseJson(body), options);
  } catch (error) {
    if (!(error instanceof NoReviewError)) throw error;
    send(response, 400, "text/plain", `${error.message}\n`);
    return undefined;
  }
  const { result, namespace, pod, reason, isDryRun } = verdict;
  if (result === "injected" && !isDryRun) await prepare(namespace, options);
  const facts = { result, namespace, pod, ...(reason === "" ? {} : { reason }), ...(isDryRun ? { dryRun: true } : {}) };
  if (result === "refused") options.log.warn("a pod was refused", facts);
  else options.log.info("a pod was admitted", facts);
  send(response, 200, "application/json", JSON.stringify(verdict.review));
  return result;
}

async function prepare(namespace: string, { prepareNamespace, log }: WebhookOptions): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`it took longer than ${PREPARE_MS} ms`)), PREPARE_MS);
  try {
    await Promise.race([prepareNamespace(namespace), late]);
  } catch (error) {
    log.warn("a namespace could not be prepared; its pods wait", { namespace, reason: describeError(error) });
  } finally {
    clearTimeout(timer);
  }
}

/** Undefined where it is too long; the rest is thrown away with the connection. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @throws {NoReviewError} */
function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new NoReviewError(`the body is no JSON: ${describeError(cause)}`);
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  if (response.headersSent || response.destroyed) return;
  // The API server would keep the connection, and with it a replica that is being replaced, old settings and all.
  const connection = "close";
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body), connection });
  response.end(body);
}
