// The doorway of @kubernetes/client-node: which API server and as whom; requests and watches in plain JSON.
import { existsSync } from "node:fs";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import { describeError, HeddleError } from "#lib/errors.ts";
import { isObject } from "#config/load/values.ts";
import { LineSplitter } from "./lines.ts";
import { textOf } from "./objects.ts";

/** The API server could not be reached, or answered something else than 2xx. */
export class KubernetesError extends HeddleError {
  /** Of HTTP; undefined: there was no answer. */
  readonly status: number | undefined;
  /** `reason` of the Status object: `NotFound`, `Conflict`, `Expired`; "" where there is none. */
  readonly reason: string;

  constructor(message: string, status?: number, reason = "", options?: ErrorOptions) {
    super("HDL_KUBERNETES", message, options);
    this.status = status;
    this.reason = reason;
  }
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ApiRequest {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Query;
  /** Written as JSON. */
  readonly body?: unknown;
  /** Of a PATCH it says which kind. Default `application/json`. */
  readonly contentType?: string;
  /** Default `application/json`; `metadataOnly` leaves spec and status out. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** How long the server may be silent. */
  readonly timeoutMs?: number;
}

const requestTimeoutMs = 30_000;
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token";

interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: HttpAgent | HttpsAgent;
}

/**
 * The package reads configurations and keeps tokens fresh; the transport is node's own: the package's opens a connection (and an
 * agent that nobody closes) for each request, and makes objects of 800 classes out of answers of which we keep a few fields.
 */
export class KubernetesClient {
  readonly #config: KubeConfig;
  readonly #base: URL;
  #agent: HttpAgent | HttpsAgent | undefined;
  #agentKey = "";

  private constructor(config: KubeConfig, server: string) {
    this.#config = config;
    this.#base = new URL(server);
  }

  /** In a pod as its service account, elsewhere as KUBECONFIG or ~/.kube/config say. @throws {KubernetesError} */
  static load(): KubernetesClient {
    const config = new KubeConfig();
    try {
      if (existsSync(serviceAccountToken)) config.loadFromCluster();
      else config.loadFromDefault();
    } catch (cause) {
      const message = `Cannot read the configuration of the Kubernetes client: ${describeError(cause)}`;
      throw new KubernetesError(message, undefined, "", { cause });
    }
    return KubernetesClient.#of(config);
  }

  /** A configuration as text (YAML), its files by absolute paths. @throws {KubernetesError} */
  static fromText(text: string): KubernetesClient {
    const config = new KubeConfig();
    config.loadFromString(text);
    return KubernetesClient.#of(config);
  }

  static #of(config: KubeConfig): KubernetesClient {
    const server = config.getCurrentCluster()?.server;
    // What the package falls back to when it finds nothing at all.
    if (server === undefined || server === "http://localhost:8080")
      throw new KubernetesError("Cannot find a Kubernetes cluster: neither in a pod, nor KUBECONFIG or ~/.kube/config");
    return new KubernetesClient(config, server);
  }

  /** For messages. */
  get server(): string {
    return this.#base.origin;
  }

  /** What the server says in JSON; its few answers in plain text as they are. @throws {KubernetesError} */
  async request(request: ApiRequest): Promise<unknown> {
    const response = await this.#open(request);
    const text = await readAll(response);
    if (!isSuccess(response)) throw refusal(request, response, text);
    if (response.headers["content-type"]?.startsWith("text/plain") === true) return text;
    try {
      return text === "" ? undefined : (JSON.parse(text) as unknown);
    } catch (cause) {
      throw new KubernetesError(`${describe(request)} gave no JSON`, response.statusCode, "", { cause });
    }
  }

  /**
   * Reads an answer that goes on, a JSON object a line. `onOpen`: the server has begun to answer. Resolves when the server ends it.
   * @throws {KubernetesError} also when it was silent for `timeoutMs`.
   */
  async stream(request: ApiRequest, onOpen: () => void, onObject: (object: unknown) => void): Promise<void> {
    const response = await this.#open(request);
    if (!isSuccess(response)) throw refusal(request, response, await readAll(response));
    onOpen();
    const lines = new LineSplitter();
    response.setEncoding("utf8");
    try {
      for await (const chunk of response)
        for (const line of lines.push(String(chunk))) onObject(JSON.parse(line) as unknown);
    } catch (cause) {
      if (cause instanceof HeddleError) throw cause;
      throw new KubernetesError(`${describe(request)} broke off: ${describeError(cause)}`, undefined, "", { cause });
    } finally {
      response.destroy();
    }
  }

  /** Ends all connections. */
  close(): void {
    this.#agent?.destroy();
  }

  async #open(request: ApiRequest): Promise<IncomingMessage> {
    const { headers, agent } = await this.#credentials();
    const { method = "GET", body, timeoutMs = requestTimeoutMs, signal } = request;
    const url = this.#urlOf(request);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options: RequestOptions = {
      method,
      agent,
      timeout: timeoutMs,
      headers: {
        ...headers,
        accept: request.accept ?? "application/json",
        "user-agent": "heddle-control-plane",
        ...(text === undefined
          ? {}
          : { "content-type": request.contentType ?? "application/json", "content-length": Buffer.byteLength(text) }),
      },
      ...(signal === undefined ? {} : { signal }),
    };
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown): void =>
        reject(new KubernetesError(`${describe(request)} failed: ${describeError(cause)}`, undefined, "", { cause }));
      const send = url.protocol === "http:" ? httpRequest : httpsRequest;
      const outgoing = send(url, options, resolve);
      outgoing.on("timeout", () => outgoing.destroy(new Error(`the server was silent for ${timeoutMs / 1000} s`)));
      outgoing.on("error", fail);
      outgoing.end(text);
    });
  }

  #urlOf({ path, query = {} }: ApiRequest): URL {
    // A server may be behind a path (https://host/k8s/clusters/a).
    const url = new URL(this.#base.pathname.replace(/\/$/, "") + path, this.#base);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    return url;
  }

  /** Asked for each request: tokens of pods and of exec plugins are renewed, and certificates are files that change. */
  async #credentials(): Promise<Credentials> {
    const options: RequestOptions = {};
    try {
      await this.#config.applyToHTTPSOptions(options);
    } catch (cause) {
      throw new KubernetesError(`Cannot log in to ${this.server}: ${describeError(cause)}`, undefined, "", { cause });
    }
    const { ca, cert, key, rejectUnauthorized, servername, auth } = options;
    const tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      ...(servername === undefined ? {} : { servername }),
    };
    const agentKey = JSON.stringify(Object.values(tls).map(String));
    if (this.#agent === undefined || agentKey !== this.#agentKey) {
      const isPlain = this.#base.protocol === "http:";
      // The package's own agent is used for proxies (`proxy-url`) alone.
      const isProxied = this.#config.getCurrentCluster()?.proxyUrl !== undefined;
      if (isProxied && options.agent instanceof HttpAgent) this.#agent = options.agent;
      else this.#agent = isPlain ? new HttpAgent({ keepAlive: true }) : new HttpsAgent({ keepAlive: true, ...tls });
      this.#agentKey = agentKey;
    }
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
    // A user name and password of a configuration of old.
    if (typeof auth === "string") headers["authorization"] = `Basic ${Buffer.from(auth).toString("base64")}`;
    return { headers, agent: this.#agent };
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  try {
    for await (const chunk of response) text += String(chunk);
  } catch (cause) {
    throw new KubernetesError(`An answer of the API server broke off: ${describeError(cause)}`, undefined, "", {
      cause,
    });
  }
  return text;
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

function describe({ method = "GET", path }: ApiRequest): string {
  return `${method} ${path} at the Kubernetes API server`;
}

function refusal(request: ApiRequest, { statusCode }: IncomingMessage, text: string): KubernetesError {
  const status = tryStatus(text);
  const said = status?.message ?? text.slice(0, 200).trim();
  return new KubernetesError(`${describe(request)} was answered ${statusCode}: ${said}`, statusCode, status?.reason);
}

/** `metav1.Status`. */
function tryStatus(text: string): { readonly message: string; readonly reason: string } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isObject(value) || value["kind"] !== "Status") return undefined;
    return { message: textOf(value["message"]), reason: textOf(value["reason"]) };
  } catch {
    return undefined;
  }
}
