// A health probe by gRPC's health protocol (grpc.health.v1).
import { Client, credentials } from "@grpc/grpc-js";
import { formatAddress } from "#config/model/address.ts";
import type { Probe, ProbeResult, ProbeTarget } from "./probe.ts";

type GrpcCheck = Extract<ProbeTarget["check"]["check"], { kind: "grpc" }>;

const SERVING = 1;

/** For endpoints without TLS: those with TLS are probed by connecting (health-runner.ts). */
export class GrpcProbe implements Probe {
  readonly #target: ProbeTarget;
  readonly #check: GrpcCheck;
  #client: Client | undefined = undefined;

  constructor(target: ProbeTarget, check: GrpcCheck) {
    this.#target = target;
    this.#check = check;
  }

  async check(): Promise<ProbeResult> {
    const { authority, serviceName } = this.#check;
    this.#client ??= new Client(
      formatAddress(this.#target),
      credentials.createInsecure(),
      authority === "" ? {} : { "grpc.default_authority": authority },
    );
    const client = this.#client;
    const answer = await new Promise<number>((resolve, reject) => {
      client.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        encodeRequest,
        decodeStatus,
        serviceName,
        { deadline: Date.now() + this.#target.check.timeoutMs },
        (error, status) => (error === null ? resolve(status ?? 0) : reject(error)),
      );
    });
    return answer === SERVING ? "healthy" : "refused";
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

/** `HealthCheckRequest { string service = 1 }`. */
function encodeRequest(service: string): Buffer {
  const text = Buffer.from(service);
  if (text.length === 0) return text;
  if (text.length > 127) throw new RangeError(`Cannot ask for the health of "${service}": the name is too long`);
  return Buffer.concat([Buffer.from([0x0a, text.length]), text]);
}

/** `HealthCheckResponse { ServingStatus status = 1 }`, a small enum; 0 when it is absent. */
function decodeStatus(bytes: Buffer): number {
  return bytes[0] === 0x08 ? (bytes[1] ?? 0) : 0;
}
