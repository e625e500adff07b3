// From a health check's kind to its probe. A probe of HTTP or gRPC brings packages that weigh as much as the whole proxy without them
// (undici alone 24 MB, http2-wrapper 15), so each is loaded at the first check that needs it.
import type { MakeProbe, Probe } from "./probe.ts";
import { makeTcpProbe } from "./tcp-probe.ts";

export const makeStandardProbe = ((target) => {
  const { check } = target.check;
  if (check.kind === "http") {
    if (target.tls === undefined)
      return makeLater(async () => new (await import("./http-probe.ts")).HttpProbe(target, check));
    return makeLater(async () => new (await import("./https-probe.ts")).HttpsProbe(target, check));
  }
  if (check.kind === "grpc")
    return makeLater(async () => new (await import("./grpc-probe.ts")).GrpcProbe(target, check));
  if (target.endpoint.mesh.kind === "none") return makeTcpProbe(target);
  return makeLater(async () => (await import("./tunnel-probe.ts")).makeTunnelProbe(target));
}) satisfies MakeProbe;

function makeLater(load: () => Promise<Probe>): Probe {
  let made: Promise<Probe> | undefined;
  return {
    async check() {
      made ??= load();
      return (await made).check();
    },
    close() {
      void made?.then((probe) => probe.close());
    },
  };
}
