// A health probe by gRPC's health protocol (grpc.health.v1), in plaintext or over mutual TLS.
//
// Over node:http2, since the socket must be our own: nothing is sent to a peer whose identity was not checked.
import type { ClientHttp2Session } from "node:http2";
import { askHealth, SERVING } from "#lib/grpc/health.ts";
import { openSession, withinTimeout } from "./http2-session.ts";
import type { Probe, ProbeResult, ProbeTarget } from "./probe.ts";

type GrpcCheck = Extract<ProbeTarget["check"]["check"], { kind: "grpc" }>;

/** Keeps one connection, as Envoy's `reuse_connection`; a failed check gives it up. */
export class GrpcProbe implements Probe {
  readonly #target: ProbeTarget;
  readonly #check: GrpcCheck;
  #session: ClientHttp2Session | undefined = undefined;

  constructor(target: ProbeTarget, check: GrpcCheck) {
    this.#target = target;
    this.#check = check;
  }

  async check(): Promise<ProbeResult> {
    try {
      const session = await this.#connected();
      const { authority, serviceName } = this.#check;
      const question = {
        service: serviceName,
        authority: authority === "" ? this.#target.cluster.name : authority,
        userAgent: "heddle-health",
      };
      const answer = await withinTimeout(this.#target, session, () => askHealth(session, question));
      // Like a status of HTTP, a code is an answer, and a "no" (Envoy: failure type ACTIVE).
      return "serving" in answer && answer.serving === SERVING ? "healthy" : "refused";
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  async #connected(): Promise<ClientHttp2Session> {
    const known = this.#session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = await openSession(this.#target);
    this.#session = session;
    return session;
  }
}
