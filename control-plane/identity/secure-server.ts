// The control plane's gRPC server over TLS: asks for a client certificate, lets in who has none (each service decides), and
// renews its own certificate while it serves.
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { constants } from "node:crypto";
import { isIP } from "node:net";
import { CONTROL_PLANE_NAME } from "#config/bootstrap/sidecar-bootstrap.ts";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { CertificateAuthority } from "./authority.ts";

const RETRY_MS = 60_000;
const AGE_GRACE_MS = 10_000;

export interface SecureServerOptions {
  readonly address: SocketAddress;
  readonly authority: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Log;
  /** What its certificate is for besides `heddle-control-plane`. */
  readonly dnsNames?: readonly string[];
  /** Connections are asked to come anew after this, so that proxies spread over the replicas again; default: never. */
  readonly maxConnectionAgeMs?: number;
  /** Adds the services before the port opens. */
  readonly register: (server: Server) => void;
}

export interface RunningServer {
  readonly port: number;
  /** Ends calls that are open after `graceMs`, then closes. */
  close(graceMs: number): Promise<void>;
}

/** Opens the port with a certificate of the mesh. @throws when the address cannot be bound. */
export async function startSecureServer(options: SecureServerOptions): Promise<RunningServer> {
  const { authority, clock, log, address } = options;
  const ipAddresses = ["127.0.0.1", "::1", ...(isWildcard(address.address) ? [] : [address.address])];
  const names = ipAddresses.filter((name, at) => isIP(name) !== 0 && ipAddresses.indexOf(name) === at);
  const dnsNames = [...new Set([CONTROL_PLANE_NAME, ...(options.dnsNames ?? [])])];
  const first = await authority.makeServerCertificate(dnsNames, names);
  const credentials = new MeshServerCredentials(authority.bundlePem, first);
  let timer: Timer | undefined;
  let bundleInUse = authority.bundlePem;
  const renewAfter = (delayMs: number): void => {
    // One that was under way when the bundle changed must not go on beside the other.
    timer?.cancel();
    timer = clock.setTimer(delayMs, () => {
      authority.makeServerCertificate(dnsNames, names).then(
        (next) => {
          credentials.rotate(authority.bundlePem, next);
          renewAfter((next.notAfterMs - clock.wallMs()) / 2);
        },
        (error: unknown) => {
          log.error("control plane's certificate not renewed", { error });
          renewAfter(RETRY_MS);
        },
      );
    });
  };
  renewAfter((first.notAfterMs - clock.wallMs()) / 2);
  // Proxies with a certificate under a root that was added are let in at once.
  const unsubscribe = authority.bundle.subscribe((bundlePem) => {
    if (bundlePem === bundleInUse) return;
    bundleInUse = bundlePem;
    timer?.cancel();
    renewAfter(0);
  });
  const server = new Server({ ...SERVER_OPTIONS, ...ageOptions(options.maxConnectionAgeMs) });
  options.register(server);
  const port = await bind(server, address, credentials);
  return {
    port,
    async close(graceMs) {
      unsubscribe();
      timer?.cancel();
      await closeServer(server, graceMs);
    },
  };
}

/** The same without TLS, for Envoys and gRPC clients on the same machine. */
export async function startPlainServer(
  address: SocketAddress,
  register: (server: Server) => void,
): Promise<RunningServer> {
  const server = new Server(SERVER_OPTIONS);
  register(server);
  const port = await bind(server, address, ServerCredentials.createInsecure());
  return { port, close: (graceMs) => closeServer(server, graceMs) };
}

/** A dead peer is noticed within 40 s; proxies may ping as often as Envoy's keepalive does. */
const SERVER_OPTIONS = {
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  "grpc.max_send_message_length": -1,
};

/** grpc-js adds up to a tenth at random; streams that are open then have a little longer to end by themselves. */
function ageOptions(ageMs: number | undefined): object {
  return ageMs === undefined
    ? {}
    : { "grpc.max_connection_age_ms": ageMs, "grpc.max_connection_age_grace_ms": AGE_GRACE_MS };
}

async function bind(server: Server, address: SocketAddress, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(address), credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(new Error(`Cannot listen on ${formatAddress(address)}: ${error.message}`, { cause: error }));
    });
  });
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

interface ServerKey {
  readonly keyPem: string;
  readonly chainPem: string;
}

/** grpc-js's own `createSsl` either asks for no certificate or refuses who has none; we ask and do not refuse. */
class MeshServerCredentials extends ServerCredentials {
  constructor(rootsPem: string, key: ServerKey) {
    super({ requestCert: true, rejectUnauthorized: false }, toContext(rootsPem, key));
  }

  rotate(rootsPem: string, key: ServerKey): void {
    this.updateSecureContextOptions(toContext(rootsPem, key));
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function toContext(rootsPem: string, key: ServerKey): object {
  return {
    ca: rootsPem,
    cert: key.chainPem,
    key: key.keyPem,
    minVersion: "TLSv1.3",
    // A resumed session would skip the check of the client's certificate against the roots of today.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}
