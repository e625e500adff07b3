// From a health check's kind to its probe.
import { GrpcProbe } from "./grpc-probe.ts";
import { HttpProbe } from "./http-probe.ts";
import { HttpsProbe } from "./https-probe.ts";
import type { MakeProbe } from "./probe.ts";
import { makeTcpProbe } from "./tcp-probe.ts";

/** A gRPC check of an endpoint with TLS only connects and verifies the peer: grpc-js has no way in for our own TLS. */
export const makeStandardProbe = ((target) => {
  const { check } = target.check;
  if (check.kind === "http")
    return target.tls === undefined ? new HttpProbe(target, check) : new HttpsProbe(target, check);
  if (check.kind === "grpc" && target.tls === undefined) return new GrpcProbe(target, check);
  return makeTcpProbe(target);
}) satisfies MakeProbe;
