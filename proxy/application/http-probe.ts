// An `httpGet` probe as the kubelet makes it (k8s.io/kubernetes pkg/probe/http): which headers, which redirects, which answers are good.
import type { OutgoingHttpHeaders } from "node:http";
import type { HttpGetProbe } from "#config/kubernetes/application.ts";
import { getFromApplication, type ApplicationResponse } from "./http-get.ts";

/** As the kubelet: what is longer is not read. */
const MAX_BODY_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

interface HttpProbeContext {
  readonly address: string;
  /** Of the kubelet's own request. */
  readonly userAgent: string | undefined;
  readonly signal: AbortSignal;
}

/** The answer behind all redirects that stay on the pod; one that leaves it is the answer itself (a good one). Rejects without one. */
export async function probeHttp(probe: HttpGetProbe, context: HttpProbeContext): Promise<ApplicationResponse> {
  const { address, signal } = context;
  const headers = headersOf(probe, context.userAgent);
  const authority = address.includes(":") ? `[${address}]` : address;
  let url = new URL(`${probe.scheme}://${authority}:${probe.port}${probe.path}`);
  const { hostname } = url;
  let host = headers["host"];
  for (let redirects = 0; ; redirects++) {
    // A chain of redirects: each needs the one before.
    // oxlint-disable-next-line no-await-in-loop
    const response = await getFromApplication({
      address,
      port: Number(url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port),
      scheme: url.protocol === "https:" ? "https" : "http",
      // The first one as it was written: URL would normalize it.
      path: redirects === 0 ? probe.path : url.pathname + url.search,
      headers: host === undefined ? headers : { ...headers, host },
      signal,
      maxBodyBytes: MAX_BODY_BYTES,
    });
    const { location } = response.headers;
    if (!REDIRECTS.includes(response.status)) return response;
    if (location === undefined) throw new Error(`it answered ${response.status} without a location`);
    const next = URL.parse(location, url);
    if (next === null) throw new Error(`it answered ${response.status} with a location that is no URL`);
    if (next.hostname !== hostname || (next.protocol !== "http:" && next.protocol !== "https:")) return response;
    if (redirects + 1 >= MAX_REDIRECTS) throw new Error(`it stopped after ${MAX_REDIRECTS} redirects`);
    // Go's client keeps a Host of its own for relative locations alone.
    if (URL.canParse(location)) host = undefined;
    url = next;
  }
}

/** Go's canonical form does not matter here; an empty User-Agent or Accept means none. */
function headersOf(probe: HttpGetProbe, userAgent: string | undefined): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = { accept: "*/*", "user-agent": userAgent ?? "kube-probe/heddle" };
  const own = new Map<string, string[]>();
  for (const [name, value] of probe.headers) {
    const key = name.toLowerCase();
    own.set(key, [...(own.get(key) ?? []), value]);
  }
  for (const [key, values] of own) {
    const isNone = (key === "accept" || key === "user-agent") && values[0] === "";
    if (isNone) delete headers[key];
    else headers[key] = key === "host" ? (values.at(-1) ?? "") : values;
  }
  return headers;
}
