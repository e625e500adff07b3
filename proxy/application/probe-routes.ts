// Answers the kubelet's rewritten probes on the metrics port from the real application, past the mesh: a dead application fails its
// probe though the proxy accepts its connections, and STRICT mutual TLS does not concern the kubelet.
import { setTimeout } from "node:timers/promises";
import type { ApplicationProbe, ApplicationSettings } from "#config/kubernetes/application.ts";
import { REMOVAL_WAIT_PATH } from "#config/kubernetes/names.ts";
import { describeError } from "#lib/errors.ts";
import type { AdminAnswer, AdminRequest, AdminRoutes } from "#proxy/admin/http-endpoint.ts";

/**
 * How long an application whose pod ends is left alone: until every caller's proxy has heard of it, seconds at most. What comes
 * later is answered elsewhere, but for what the application took from its queue of connections and dropped.
 */
const REMOVAL_MS = 3000;

/**
 * One path for each probe: `/probes/<container>/<kind>`; for each hook, which does something: `/probes/<key>/<container>/<kind>`; and the
 * one that waits, for preStop.
 */
export function makeProbeRoutes({ addresses, probes }: ApplicationSettings, removalMs = REMOVAL_MS): AdminRoutes {
  const address = addresses[0] ?? "127.0.0.1";
  const wait = async (): Promise<AdminAnswer> => {
    await setTimeout(removalMs);
    return { body: "ok\n" };
  };
  const routes = [...probes].map(([id, probe]) => {
    return [pathOf(id, probe), (request: AdminRequest) => answer(probe, address, request)] as const;
  });
  return { ...Object.fromEntries(routes), [REMOVAL_WAIT_PATH]: wait };
}

function pathOf(id: string, probe: ApplicationProbe): string {
  const key = probe.kind === "httpGet" ? probe.hookKey : undefined;
  return key === undefined ? `/probes/${id}` : `/probes/${key}/${id}`;
}

async function answer(probe: ApplicationProbe, address: string, { headers }: AdminRequest): Promise<AdminAnswer> {
  const signal = probe.timeoutMs === 0 ? new AbortController().signal : AbortSignal.timeout(probe.timeoutMs);
  try {
    switch (probe.kind) {
      case "tcpSocket": {
        const { dialApplication } = await import("./dial.ts");
        (await dialApplication(address, probe.port, signal)).destroy();
        return { body: "ok\n" };
      }
      case "grpc": {
        const { probeGrpc } = await import("./grpc-health.ts");
        await probeGrpc(probe, address, signal);
        return { body: "ok\n" };
      }
      case "httpGet": {
        const { probeHttp } = await import("./http-probe.ts");
        const { status } = await probeHttp(probe, { address, userAgent: headers["user-agent"], signal });
        // The kubelet would follow a redirect, or miss its location: one that leaves the pod is good. The application's own words
        // stay in the pod: whoever asks here shows no certificate.
        if (probe.hookKey !== undefined || (status >= 200 && status < 400)) return { body: "ok\n" };
        return { status: status >= 400 && status <= 599 ? status : 503, body: `The application answered ${status}\n` };
      }
    }
  } catch (error) {
    // The kubelet looks at no status of a postStart: only a broken connection is a failure.
    if (probe.kind === "httpGet" && probe.hookKey !== undefined) return "hang-up";
    const reason = signal.aborted ? `it did not answer within ${probe.timeoutMs} ms` : describeError(error);
    return { status: 503, body: `The application's port ${probe.port} fails its ${probe.kind} probe: ${reason}\n` };
  }
}
