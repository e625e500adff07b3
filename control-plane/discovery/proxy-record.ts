// What is known of one proxy across its streams.
import type { NodeInfo } from "#config/model/bootstrap.ts";
import type { Dialect } from "../mesh/resources.ts";
import { Rejections, type Rejection } from "./rejections.ts";
import type { KindStatus } from "./session.ts";

/** One entry of `/debug/proxies`. Times are Unix ms. */
export interface ProxyStatus {
  readonly id: string;
  readonly cluster: string;
  readonly agent: string;
  readonly dialect: Dialect;
  readonly protocol: "delta" | "sotw";
  /** The SPIFFE id of its certificate; `undefined` on the plaintext port. */
  readonly identity: string | undefined;
  readonly connected: boolean;
  /** Why its last stream was refused; it is given nothing new until that ends. */
  readonly refusal: string | undefined;
  readonly sinceMs: number;
  /** The mesh version of which everything was acknowledged, and when. */
  readonly applied: { readonly version: string; readonly atMs: number } | undefined;
  readonly kinds: readonly KindStatus[];
  readonly rejections: readonly Rejection[];
}

/** How a stream shows itself to the record. */
export interface ProxyStream {
  readonly protocol: "delta" | "sotw";
  readonly kinds: readonly KindStatus[];
}

export interface ProxyDescription {
  readonly node: NodeInfo;
  readonly agent: string;
  readonly dialect: Dialect;
  readonly identity: string | undefined;
}

interface Applied {
  readonly version: string;
  readonly sequence: number;
  readonly atMs: number;
}

/** Enough for the receipts of the last edits. */
const MAX_APPLIED = 256;

export class ProxyRecord {
  readonly rejections = new Rejections();
  refusal: string | undefined;
  description: ProxyDescription;
  #stream: ProxyStream | undefined;
  #protocol: ProxyStatus["protocol"] = "delta";
  #kinds: readonly KindStatus[] = [];
  #sinceMs = 0;
  #applied: Applied[] = [];

  constructor(description: ProxyDescription) {
    this.description = description;
  }

  get isConnected(): boolean {
    return this.#stream !== undefined;
  }

  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** The newest stream speaks for the proxy; an older one may still be closing. */
  connect(stream: ProxyStream, description: ProxyDescription, nowMs: number): void {
    this.description = description;
    this.refusal = undefined;
    this.#stream = stream;
    this.#protocol = stream.protocol;
    this.#sinceMs = nowMs;
  }

  disconnect(stream: ProxyStream, nowMs: number): void {
    if (this.#stream !== stream) return;
    this.#kinds = stream.kinds;
    this.#stream = undefined;
    this.#sinceMs = nowMs;
  }

  /** The node may not have what it asks for. */
  refuse(reason: string, nowMs: number): void {
    this.refusal = reason;
    if (!this.isConnected) this.#sinceMs = nowMs;
  }

  markApplied(version: string, sequence: number, atMs: number): void {
    const last = this.#applied.at(-1);
    if (last !== undefined && last.sequence >= sequence) return;
    this.#applied.push({ version, sequence, atMs });
    if (this.#applied.length > MAX_APPLIED) this.#applied = this.#applied.slice(-MAX_APPLIED / 2);
  }

  /** When the proxy first had this version or a later one. */
  appliedAtMs(sequence: number): number | undefined {
    return this.#applied.find((applied) => applied.sequence >= sequence)?.atMs;
  }

  get status(): ProxyStatus {
    const { node, agent, dialect, identity } = this.description;
    const applied = this.#applied.at(-1);
    return {
      id: node.id,
      cluster: node.cluster,
      agent,
      dialect,
      protocol: this.#protocol,
      identity,
      connected: this.isConnected,
      refusal: this.refusal,
      sinceMs: this.#sinceMs,
      applied: applied === undefined ? undefined : { version: applied.version, atMs: applied.atMs },
      kinds: this.#stream?.kinds ?? this.#kinds,
      rejections: this.rejections.all,
    };
  }
}
