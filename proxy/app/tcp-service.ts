// Opaque connections of one worker: which cluster each goes to, and what is counted, logged and explained when it is over.
import { formatAddress } from "#config/model/address.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { AccessLog } from "#config/model/telemetry.ts";
import type { Listener, TcpProxy } from "#config/model/listener.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Speculation, SpeculationOwner } from "#proxy/listener/detection.ts";
import { TcpSession } from "#proxy/listener/tcp-session.ts";
import { makeUuid } from "#proxy/stream/edge.ts";
import type { LineFile } from "#proxy/telemetry/access-log.ts";
import type { Metrics } from "#proxy/telemetry/metrics.ts";
import type { ExplainRing } from "#proxy/telemetry/records.ts";
import type { ClusterSet, PickedEndpoint, PickFailure } from "#proxy/upstream/contract.ts";
import type { Wire } from "#proxy/wire/wire.ts";

import type { Connection, Connections } from "./connections.ts";
import { compileTcpAccessLog } from "./tcp-access-log.ts";
import { toExplainRecord, type TcpRecord } from "./tcp-record.ts";

export interface TcpServiceParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly explain: ExplainRing;
  readonly clusters: ClusterSet;
  readonly connections: Connections;
  readonly lineFile: (path: string) => LineFile;
  readonly version: () => string;
}

interface CompiledLog {
  readonly path: string;
  readonly makeLine: (record: TcpRecord) => string;
}

export class TcpService {
  readonly #parts: TcpServiceParts;
  readonly #logs = new WeakMap<readonly AccessLog[], readonly CompiledLog[]>();
  readonly #active = new Map<string, number>();

  constructor(parts: TcpServiceParts) {
    this.#parts = parts;
    parts.metrics.gauge("heddle_tcp_connections_active", "Open opaque connections by destination.", () =>
      [...this.#active].map(([destination, count]) => [{ destination }, count] as const),
    );
  }

  /** Throws with the reason when one of its access logs does not compile. */
  check(config: TcpProxy): void {
    for (const log of config.accessLogs) compileTcpAccessLog(log);
  }

  serve(wire: Wire, firstBytes: Buffer, listener: Listener, config: TcpProxy): void {
    this.#prepare(wire, listener, config).adopt(firstBytes);
  }

  /** Dials for a connection of which it is not known yet whether it is opaque; it counts when it is adopted. */
  speculate(wire: Wire, listener: Listener, config: TcpProxy, owner: SpeculationOwner): Speculation {
    const prepared = this.#prepare(wire, listener, config);
    prepared.session.speculate(owner);
    return prepared;
  }

  #prepare(wire: Wire, listener: Listener, config: TcpProxy): Speculation & { readonly session: TcpSession } {
    const { clock, connections, metrics } = this.#parts;
    const cluster = this.#choose(config);
    const { remoteAddress, remotePort, localAddress, localPort } = wire.info;
    const addresses = { remoteAddress, remotePort, localAddress, localPort };
    const session = new TcpSession(wire, {
      clock,
      config,
      pick: (avoid) => this.#pick(cluster, wire, avoid),
      authority: cluster,
      onDone: () => {
        connections.delete(connection);
        this.#active.set(cluster, (this.#active.get(cluster) ?? 1) - 1);
        this.#record(this.#makeRecord(session, listener, cluster, addresses), config);
      },
    });
    const connection: Connection = {
      place: -1,
      kind: "tcp",
      listener: listener.name,
      abort: (reason) => session.abort(reason),
    };
    return {
      session,
      adopt: (firstBytes) => {
        connections.add(connection);
        this.#active.set(cluster, (this.#active.get(cluster) ?? 0) + 1);
        metrics
          .counter("heddle_tcp_connections_total", "Opaque connections by listener and destination.", {
            listener: listener.name,
            destination: cluster,
          })
          .add(1);
        session.start(firstBytes);
      },
      discard: () => session.discard(),
    };
  }

  /** By weight; one draw a connection. */
  #choose({ clusters }: TcpProxy): string {
    const sum = clusters.reduce((total, { weight }) => total + weight, 0);
    let point = this.#parts.random.next() * sum;
    for (const { name, weight } of clusters) if ((point -= weight) < 0) return name;
    return clusters.at(-1)?.name ?? "";
  }

  #pick(name: string, wire: Wire, avoid: readonly Endpoint[]): PickedEndpoint | PickFailure | "no-cluster" {
    const cluster = this.#parts.clusters.get(name);
    if (cluster === undefined) return "no-cluster";
    const pick = { cluster: cluster.config, labels: {}, hash: undefined, avoid };
    return cluster.pick(pick, wire.info.originalDestination);
  }

  #makeRecord(
    session: TcpSession,
    listener: Listener,
    cluster: string,
    addresses: Pick<TcpRecord, "remoteAddress" | "remotePort" | "localAddress" | "localPort">,
  ): TcpRecord {
    const { clock, random, version } = this.#parts;
    const durationMs = clock.nowMs() - session.startMs;
    const { tls } = session.wire.info;
    return {
      id: makeUuid(random),
      startWallMs: clock.wallMs() - durationMs,
      durationMs: Math.round(durationMs * 1000) / 1000,
      listener: listener.name,
      direction: listener.direction,
      bytesIn: session.bytesIn,
      bytesOut: session.bytesOut,
      cluster,
      upstreamHost: session.endpoint === undefined ? undefined : formatAddress(session.endpoint),
      upstreamLocalAddress:
        session.upstream && formatAddress({ address: session.upstream.localAddress, port: session.upstream.localPort }),
      upstreamPeerIdentity: session.upstream?.peerIdentity,
      attempts: session.attempts,
      flags: session.flags,
      failure: session.failure,
      ...addresses,
      peerIdentity: tls?.isPeerVerified === true ? tls.peerIdentity : undefined,
      localIdentity: tls?.localIdentity,
      serverName: tls?.sni ?? "",
      tlsVersion: tls?.version,
      configVersion: version(),
    };
  }

  #record(record: TcpRecord, config: TcpProxy): void {
    const { metrics, log, explain, lineFile } = this.#parts;
    const labels = { listener: record.listener, destination: record.cluster };
    metrics
      .counter("heddle_tcp_received_bytes_total", "Bytes from clients of opaque connections.", labels)
      .add(record.bytesIn);
    metrics
      .counter("heddle_tcp_sent_bytes_total", "Bytes to clients of opaque connections.", labels)
      .add(record.bytesOut);
    if (record.failure !== undefined) {
      const flags = record.flags.join(",");
      metrics
        .counter("heddle_tcp_failures_total", "Opaque connections that did not end well.", {
          ...labels,
          response_flags: flags,
        })
        .add(1);
      explain.add(toExplainRecord(record));
      log.info("an opaque connection failed", { ...labels, id: record.id, flags, reason: record.failure });
    }
    for (const { path, makeLine } of this.#logsOf(config.accessLogs)) lineFile(path).write(makeLine(record));
  }

  #logsOf(configs: readonly AccessLog[]): readonly CompiledLog[] {
    let logs = this.#logs.get(configs);
    if (logs === undefined) {
      logs = configs.map((config) => ({ path: config.path, makeLine: compileTcpAccessLog(config) }));
      this.#logs.set(configs, logs);
    }
    return logs;
  }
}
