// The mutual-TLS filter: what PeerAuthentication says about the peer of an inbound connection. The handshake itself, and the check
// of the certificate, is the transport's (proxy/tls); a STRICT port that has no plaintext chain refuses before HTTP begins.
import type { Filter, FilterContext, FilterFactory } from "../filter.ts";
import { ConfigReader } from "../parse.ts";

export interface MtlsConfig {
  /** STRICT: only peers with a verified identity. PERMISSIVE: both. DISABLE: nothing is asked. */
  readonly mode: "STRICT" | "PERMISSIVE" | "DISABLE";
  /** The rule's name, for the answer. */
  readonly rule: string;
}

export const mtlsFilter = {
  name: "heddle.mtls",
  typeUrls: ["type.googleapis.com/heddle.filters.mtls.v1.Mtls"],
  failureMode: "closed",
  perRoute: "nothing",
  parse(value) {
    const reader = new ConfigReader(value, "");
    const config = {
      mode: reader.oneOf("mode", ["STRICT", "PERMISSIVE", "DISABLE"], "PERMISSIVE"),
      rule: reader.string("rule", ""),
    };
    reader.done();
    return config;
  },
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<MtlsConfig>;

function makeFilter(config: MtlsConfig, context: FilterContext): Filter {
  const labels = { listener: context.listener };
  const plaintext = context.metrics.counter(
    "heddle_plaintext_connections_total",
    "Connections without mutual TLS that were accepted or refused.",
    labels,
  );
  return {
    name: context.name,
    onConnection(connection) {
      if (connection.peerIdentity !== undefined || connection.direction !== "inbound") return undefined;
      plaintext.add(1);
      if (config.mode !== "STRICT") return undefined;
      const rule = config.rule === "" ? "its PeerAuthentication" : config.rule;
      return `${rule} demands mutual TLS, and ${connection.remoteAddress}:${connection.remotePort} came ${connection.isTls ? "without a client certificate" : "in plaintext"}`;
    },
  };
}
