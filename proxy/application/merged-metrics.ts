// The application's own metrics behind the proxy's, in one page that Prometheus can read: text 0.0.4 or OpenMetrics 1.0.
import type { ApplicationMetrics } from "#config/kubernetes/application.ts";
import { describeError } from "#lib/errors.ts";
import type { MetricsFormat } from "#proxy/telemetry/metrics.ts";
import { getFromApplication } from "./http-get.ts";

const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 5000;

export interface ApplicationPage {
  /** What the whole page must then be in. */
  readonly format: MetricsFormat;
  /** Lines to put behind our own; without `# EOF`. */
  readonly text: string;
}

interface Scrape {
  readonly address: string;
  readonly accept: string | undefined;
  /** `x-prometheus-scrape-timeout-seconds`. */
  readonly timeoutSeconds: string | undefined;
}

/** Never rejects: a page that cannot be had, or that Prometheus would refuse, is left out, and a gauge and a comment say so. */
export async function readApplicationMetrics(metrics: ApplicationMetrics, scrape: Scrape): Promise<ApplicationPage> {
  try {
    const page = await fetchPage(metrics, scrape);
    return { format: page.format, text: `${upGauge(1)}${page.text}` };
  } catch (error) {
    const reason = describeError(error).replaceAll(/\s+/g, " ");
    const where = `port ${metrics.port}, ${metrics.path}`;
    return { format: "text", text: `# The application's metrics (${where}) are left out: ${reason}\n${upGauge(0)}` };
  }
}

function upGauge(value: 0 | 1): string {
  const name = "heddle_application_metrics_up";
  return `# HELP ${name} 1 when the application's own metrics are part of this page.\n# TYPE ${name} gauge\n${name} ${value}\n`;
}

async function fetchPage(metrics: ApplicationMetrics, scrape: Scrape): Promise<ApplicationPage> {
  const { status, headers, body, isCut } = await getFromApplication({
    address: scrape.address,
    port: metrics.port,
    scheme: metrics.scheme,
    path: metrics.path,
    headers: { accept: textual(scrape.accept), "user-agent": "heddle-proxy" },
    signal: AbortSignal.timeout(timeoutOf(scrape.timeoutSeconds)),
    maxBodyBytes: MAX_PAGE_BYTES,
  });
  if (status !== 200) throw new Error(`it answered ${status}`);
  if (isCut) throw new Error(`the page has more than ${MAX_PAGE_BYTES / 1024 / 1024} MiB`);
  const type = (headers["content-type"] ?? "text/plain").toLowerCase();
  const format = type.startsWith("application/openmetrics-text") ? "openmetrics" : "text";
  if (format === "text" && !type.startsWith("text/plain")) throw new Error(`it is ${type}`);
  return { format, text: checkLines(body.toString("utf8")) };
}

/** Protobuf cannot be put behind text. */
function textual(accept: string | undefined): string {
  const kept = (accept ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter(
      (part) => /^(application\/openmetrics-text|text\/plain)\b/i.test(part) && !/escaping=allow-utf-8/i.test(part),
    );
  return kept.length === 0 ? "text/plain;version=0.0.4" : kept.join(",");
}

/** A little less than Prometheus gives, so that our own part arrives in any case. */
function timeoutOf(seconds: string | undefined): number {
  const given = Number(seconds ?? Number.NaN);
  return given > 0 ? Math.min(60_000, Math.max(100, given * 800)) : DEFAULT_TIMEOUT_MS;
}

// A quoted label value has anything but a bare quote; what is behind `#` is an exemplar.
const sampleLine =
  /^[a-zA-Z_:][\w:]*[ \t]*(?:\{[^{}"]*(?:"(?:[^"\\]|\\.)*"[^{}"]*)*\})?[ \t]+[^\s{}"]+(?:[ \t]+[\d.eE+-]+)?[ \t]*(?:#.*)?$/;

/** One line that Prometheus cannot read would lose it the whole page, ours too. */
function checkLines(text: string): string {
  const lines = text.split("\n").filter((line) => line !== "# EOF" && line !== "");
  for (const [index, line] of lines.entries())
    if (!line.startsWith("#") && !sampleLine.test(line.replace(/\r$/, "")))
      throw new Error(`line ${index + 1} is no metric: ${JSON.stringify(line.slice(0, 60))}`);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
