// Leads Prometheus to the proxy's metrics port, where the application's own metrics stand behind the proxy's.
import type { ApplicationMetrics } from "#config/kubernetes/application.ts";
import { podPorts } from "#config/kubernetes/names.ts";
import { annotationPath, InjectionError } from "./injection-error.ts";
import type { PodSpec, Texts } from "./pod.ts";

const SCRAPE = "prometheus.io/scrape";
const PORT = "prometheus.io/port";
const PATH = "prometheus.io/path";
const SCHEME = "prometheus.io/scheme";

export interface Scraping {
  /** Annotations to set. */
  readonly annotations: Texts;
  readonly metrics: ApplicationMetrics | undefined;
}

/** Nothing for a pod that asks for no scraping. Without a port it is the first that a container names. @throws {InjectionError} */
export function rewriteScraping(annotations: Texts, spec: PodSpec): Scraping {
  if (annotations[SCRAPE] !== "true") return { annotations: {}, metrics: undefined };
  const first = spec.containers.flatMap(({ ports }) => ports ?? [])[0]?.containerPort;
  const text = annotations[PORT] ?? (typeof first === "number" ? String(first) : undefined);
  const port = Number(text);
  if (text !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535))
    throw new InjectionError(annotationPath(PORT), `must be a port: got "${text}"`);
  const path = annotations[PATH] ?? "/metrics";
  return {
    annotations: {
      [PORT]: String(podPorts.metrics),
      [PATH]: "/metrics",
      ...(annotations[SCHEME] === undefined ? {} : { [SCHEME]: "http" }),
    },
    metrics:
      // The proxy's own port, from annotations that were copied off a pod with a proxy: it would ask itself.
      text === undefined || port === podPorts.metrics
        ? undefined
        : {
            scheme: annotations[SCHEME] === "https" ? "https" : "http",
            port,
            path: path.startsWith("/") ? path : `/${path}`,
          },
  };
}
