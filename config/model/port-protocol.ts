// What a port of a service speaks, by what its owner says of it: in which words, and whose word holds.

/**
 * HTTP: HTTP/1 to the application. HTTP2 and GRPC: HTTP/2. TCP: opaque bytes, TLS of the application's own among them. AUTO: the
 * first bytes of each connection tell (docs/opaque-tcp.md). UDP: left alone.
 */
export type PortProtocol = "AUTO" | "HTTP" | "HTTP2" | "GRPC" | "TCP" | "UDP";

/** The words for it; TLS and HTTPS are the application's own, so opaque. */
export const PORT_PROTOCOLS = ["AUTO", "HTTP", "HTTP2", "GRPC", "TCP", "TLS", "HTTPS", "UDP"] as const;

/** What its owner says of a port. */
export interface PortHints {
  /** Heddle's own word: `protocol` of a ServiceEntry, `heddle.dev/protocol` of a registry. */
  readonly protocol?: (typeof PORT_PROTOCOLS)[number] | undefined;
  /** `appProtocol` of a Kubernetes Service. */
  readonly appProtocol?: string | undefined;
  readonly name: string;
  readonly port: number;
}

/** KEP-3726 for the `kubernetes.io` ones, Istio's protocol selection for what it knows, else IANA's service names. */
const BY_APP_PROTOCOL = {
  http: "HTTP",
  "kubernetes.io/ws": "HTTP",
  "grpc-web": "HTTP",
  http2: "HTTP2",
  h2c: "HTTP2",
  "kubernetes.io/h2c": "HTTP2",
  grpc: "GRPC",
  tcp: "TCP",
  tls: "TCP",
  https: "TCP",
  "kubernetes.io/wss": "TCP",
  amqp: "TCP",
  cassandra: "TCP",
  ftp: "TCP",
  imap: "TCP",
  kafka: "TCP",
  ldap: "TCP",
  memcached: "TCP",
  mongo: "TCP",
  mongodb: "TCP",
  mqtt: "TCP",
  mysql: "TCP",
  nats: "TCP",
  pop3: "TCP",
  postgres: "TCP",
  postgresql: "TCP",
  redis: "TCP",
  smtp: "TCP",
  ssh: "TCP",
  zookeeper: "TCP",
  udp: "UDP",
} as const satisfies Readonly<Record<string, PortProtocol>>;

const protocols: ReadonlyMap<string, PortProtocol> = new Map(Object.entries(BY_APP_PROTOCOL));

/** Every `appProtocol` that says something to us. */
export const APP_PROTOCOLS: readonly string[] = [...protocols.keys()];

/** Linkerd's default opaque ports: SMTP and its submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch, Memcached. */
const OPAQUE_PORTS: ReadonlySet<number> = new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]);

/** The first of them that says anything: `protocol`, `appProtocol`, the name, the number; AUTO when none does. */
export function protocolOfPort({ protocol, appProtocol, name, port }: PortHints): PortProtocol {
  if (protocol !== undefined) return protocol === "TLS" || protocol === "HTTPS" ? "TCP" : protocol;
  const said = protocols.get(appProtocol?.toLowerCase() ?? "") ?? protocolOfName(name);
  return said ?? (OPAQUE_PORTS.has(port) ? "TCP" : "AUTO");
}

/** A name is a protocol, or one and a hyphen and more: `http`, `grpc-web-admin`, `tcp-6000`; not `httpbin`. */
function protocolOfName(name: string): PortProtocol | undefined {
  if (name === "grpc-web" || name.startsWith("grpc-web-")) return BY_APP_PROTOCOL["grpc-web"];
  const [first = ""] = name.split("-", 1);
  return protocols.get(first.toLowerCase());
}
