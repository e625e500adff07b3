// A `grpc` probe: one call of grpc.health.v1.Health/Check in plaintext on a connection of its own.
//
// Over node:http2, since the connection must come from a source address that grpc-js cannot be told.
import http2 from "node:http2";
import type { GrpcHealthProbe } from "#config/kubernetes/application.ts";
import { formatAddress } from "#config/model/address.ts";
import { askHealth, SERVING } from "#lib/grpc/health.ts";
import { dialApplication } from "./dial.ts";

/** Resolves when the service is SERVING; rejects with the reason otherwise. */
export async function probeGrpc(probe: GrpcHealthProbe, address: string, signal: AbortSignal): Promise<void> {
  const socket = await dialApplication(address, probe.port, signal);
  const authority = formatAddress({ address, port: probe.port });
  const session = http2.connect(`http://${authority}`, { createConnection: () => socket });
  // Whoever waits for the answer hears of it too.
  session.on("error", () => undefined);
  const end = (): void => session.destroy(new Error("it did not answer in time"));
  signal.addEventListener("abort", end, { once: true });
  try {
    const answer = await askHealth(session, { service: probe.service, authority, userAgent: "kube-probe/heddle" });
    if ("refusal" in answer) throw new Error(answer.refusal);
    const { serving } = answer;
    if (serving !== SERVING) throw new Error(`it says that it is not serving (status ${serving})`);
  } finally {
    signal.removeEventListener("abort", end);
    session.destroy();
  }
}
