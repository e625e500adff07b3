// The xDS server: hands each proxy what the mesh has for it, and knows what each has taken.
import { status, type Server, type ServerDuplexStream, type ServiceDefinition } from "@grpc/grpc-js";
import type { NodeInfo } from "#config/model/bootstrap.ts";
import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import { AggregatedDiscoveryService } from "#config/xds/gen/envoy/service/discovery/v3/ads_pb.ts";
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { ResourceSource } from "../mesh/resources.ts";
import { AdsStream, StreamRefusal, type AdsRequest, type OpenedStream } from "./ads-stream.ts";
import { DeltaSession, type DeltaResponse } from "./delta-session.ts";
import { Encoder, type Snapshot } from "./encoded-resource.ts";
import { agentOf, dialectOf, toNodeInfo } from "./node.ts";
import { ProxyRecord, type ProxyDescription, type ProxyStatus } from "./proxy-record.ts";
import { NOTHING_ASKED, type Session, type SessionOptions } from "./session.ts";
import { SotwSession, type SotwResponse } from "./sotw-session.ts";
import { Versions } from "./versions.ts";

/** Who a stream's peer is, for the node that it says it is. */
interface Admission {
  readonly identity: string | undefined;
  /** Unix ms at which the identity ends. */
  readonly endsAtMs: number | undefined;
}

/** Lets a peer in as a node. @throws an error whose message the peer is told. */
export type Admit = (call: ServerDuplexStream<unknown, unknown>, node: NodeInfo) => Admission;

/** For ports that only this machine reaches. */
export const admitAnybody: Admit = () => ({ identity: undefined, endsAtMs: undefined });

export interface DiscoveryServerOptions {
  readonly source: ResourceSource;
  readonly clock: Clock;
  readonly log: Log;
  /** Events within this time after the first are served together; 10 ms by default. */
  readonly coalesceMs?: number;
}

/** "Applied on M of N proxies": those connected, and when each first had this version or a later one (Unix ms). */
export interface Receipt {
  readonly version: string;
  /** False for a version that never was, or is long gone. */
  readonly isKnown: boolean;
  readonly applied: number;
  readonly total: number;
  readonly proxies: readonly {
    readonly id: string;
    readonly appliedAtMs: number | undefined;
    readonly rejected: number;
  }[];
}

type AnyStream = AdsStream<DeltaDiscoveryRequest, DeltaResponse> | AdsStream<DiscoveryRequest, SotwResponse>;

/** How long a proxy that went away stays in the list. */
const FORGET_MS = 600_000;
/** Streams that are refreshed in one turn of the event loop. */
const STREAMS_PER_TURN = 32;

export class DiscoveryServer {
  readonly #options: DiscoveryServerOptions;
  readonly #encoder: Encoder;
  readonly #versions = new Versions();
  readonly #records = new Map<string, ProxyRecord>();
  readonly #streams = new Set<AnyStream>();
  readonly #unsubscribe: () => void;
  #refreshTimer: Timer | undefined;
  #isDraining = false;

  constructor(options: DiscoveryServerOptions) {
    this.#options = options;
    this.#encoder = new Encoder(options.log);
    this.#unsubscribe = options.source.subscribe(() => this.#onChange());
  }

  /** Adds ADS, delta and state of the world, to a server; several servers may share this one. */
  register(server: Server, admit: Admit): void {
    const definition: ServiceDefinition = {
      deltaAggregatedResources: grpcMethod(AggregatedDiscoveryService, "deltaAggregatedResources"),
      streamAggregatedResources: grpcMethod(AggregatedDiscoveryService, "streamAggregatedResources"),
    };
    server.addService(definition, {
      deltaAggregatedResources: (call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaResponse>): void => {
        this.#serve("delta", call, admit, (options) => new DeltaSession(options));
      },
      streamAggregatedResources: (call: ServerDuplexStream<DiscoveryRequest, SotwResponse>): void => {
        this.#serve("sotw", call, admit, (options) => new SotwSession(options));
      },
    });
  }

  /** Every proxy that is connected, and those that went away within ten minutes. */
  proxies(): ProxyStatus[] {
    this.#forgetGone();
    return [...this.#records.values()].map((record) => record.status);
  }

  receipt(version: string): Receipt {
    const sequence = this.#versions.sequenceOf(version);
    const connected = [...this.#records.values()].filter((record) => record.isConnected);
    const proxies = connected.map((record) => ({
      id: record.description.node.id,
      appliedAtMs: sequence === undefined ? undefined : record.appliedAtMs(sequence),
      rejected: record.rejections.all.length,
    }));
    const applied = proxies.filter(({ appliedAtMs }) => appliedAtMs !== undefined).length;
    return { version, isKnown: sequence !== undefined, applied, total: proxies.length, proxies };
  }

  /** Ends every stream, and refuses new ones; proxies come back elsewhere with what they have. */
  drain(): void {
    this.#isDraining = true;
    const refusal = new StreamRefusal(status.UNAVAILABLE, "The control plane is stopping");
    for (const stream of this.#streams) stream.end(refusal);
  }

  close(): void {
    this.#unsubscribe();
    this.#refreshTimer?.cancel();
    this.drain();
  }

  #serve<Request extends AdsRequest, Response>(
    protocol: "delta" | "sotw",
    call: ServerDuplexStream<Request, Response>,
    admit: Admit,
    makeSession: (options: SessionOptions) => Session<Request, Response>,
  ): void {
    const { clock, log } = this.#options;
    const stream = new AdsStream<Request, Response>(protocol, call, {
      clock,
      log,
      open: (opening, first) => this.#open(opening, call, first, admit, makeSession),
      snapshotFor: (record, asked) => this.#snapshotFor(record, asked),
      onSettled: (record, snapshot) => this.#onSettled(record, snapshot),
      onClosed: (closing, record) => {
        this.#streams.delete(closing as unknown as AnyStream);
        record?.disconnect(closing, clock.wallMs());
        if (record !== undefined) log.info("proxy disconnected", { node: record.description.node.id });
      },
    });
    // Only `refresh` and `end` are called on it from here, which do not depend on the messages' types.
    this.#streams.add(stream as unknown as AnyStream);
  }

  #open<Request extends AdsRequest, Response>(
    stream: AdsStream<Request, Response>,
    call: ServerDuplexStream<Request, Response>,
    first: Request,
    admit: Admit,
    makeSession: (options: SessionOptions) => Session<Request, Response>,
  ): OpenedStream<Request, Response> {
    const { clock, log } = this.#options;
    if (this.#isDraining) throw new StreamRefusal(status.UNAVAILABLE, "The control plane is stopping");
    const { node } = first;
    if (node === undefined || node.id === "") {
      throw new StreamRefusal(status.INVALID_ARGUMENT, "The first request of a stream must name its node");
    }
    const info = toNodeInfo(node);
    const admission = admitOrRefuse(admit, call, info, log);
    const dialect = dialectOf(node);
    const description: ProxyDescription = { node: info, agent: agentOf(node), dialect, identity: admission.identity };
    const record = this.#records.get(info.id) ?? new ProxyRecord(description);
    if (this.#options.source.resourcesFor(info, dialect, NOTHING_ASKED) === undefined) {
      const reason = this.#options.source.refusalOf?.(info);
      if (reason === undefined)
        throw new StreamRefusal(status.NOT_FOUND, `Node "${info.id}" is not in the mesh's configuration`);
      this.#refuse(record, reason);
      throw new StreamRefusal(status.PERMISSION_DENIED, `Node "${info.id}" is refused: ${reason}`);
    }
    this.#records.set(info.id, record);
    if (!hasKept(first)) record.rejections.clear();
    record.connect(stream, description, clock.wallMs());
    const session = makeSession({ clock, rejections: record.rejections, appliesGoodSiblings: dialect === "heddle" });
    log.info("proxy connected", { node: info.id, agent: description.agent, dialect, identity: admission.identity });
    return { record, session, endsAtMs: admission.endsAtMs };
  }

  #snapshotFor(record: ProxyRecord, asked: ReadonlySet<string>): Snapshot | undefined {
    const { node, dialect } = record.description;
    const resources = this.#options.source.resourcesFor(node, dialect, asked);
    // A node that is taken out of the mesh while it runs keeps what it has.
    if (resources === undefined) {
      const reason = this.#options.source.refusalOf?.(node);
      if (reason !== undefined) this.#refuse(record, reason);
      return undefined;
    }
    record.refusal = undefined;
    this.#versions.see(resources.version);
    return this.#encoder.encode(resources);
  }

  /** Kept among the proxies, so that the status shows it; said once, however often the proxy comes back. */
  #refuse(record: ProxyRecord, reason: string): void {
    const { node } = record.description;
    this.#records.set(node.id, record);
    if (record.refusal !== reason) this.#options.log.error("proxy refused", { node: node.id, reason });
    record.refuse(reason, this.#options.clock.wallMs());
  }

  #onSettled(record: ProxyRecord, snapshot: Snapshot): void {
    const sequence = this.#versions.sequenceOf(snapshot.version);
    if (sequence === undefined || record.rejections.all.length > 0) return;
    record.markApplied(snapshot.version, sequence, this.#options.clock.wallMs());
  }

  #onChange(): void {
    if (this.#refreshTimer !== undefined) return;
    this.#refreshTimer = this.#options.clock.setTimer(this.#options.coalesceMs ?? 10, () => {
      this.#refreshTimer = undefined;
      this.#refresh([...this.#streams], 0);
    });
  }

  /** In slices, so that a change for a thousand proxies does not stall the acknowledgements of the first. */
  #refresh(streams: readonly AnyStream[], from: number): void {
    for (const stream of streams.slice(from, from + STREAMS_PER_TURN)) stream.refresh();
    const next = from + STREAMS_PER_TURN;
    if (next < streams.length) setImmediate(() => this.#refresh(streams, next));
  }

  #forgetGone(): void {
    const beforeMs = this.#options.clock.wallMs() - FORGET_MS;
    for (const [id, record] of this.#records) {
      if (!record.isConnected && record.sinceMs < beforeMs) this.#records.delete(id);
    }
  }
}

/** True for a proxy that comes back with resources from before. */
function hasKept(first: AdsRequest): boolean {
  if ("initialResourceVersions" in first) return Object.keys(first.initialResourceVersions ?? {}).length > 0;
  return "versionInfo" in first && first.versionInfo !== "";
}

function admitOrRefuse(admit: Admit, call: ServerDuplexStream<unknown, unknown>, node: NodeInfo, log: Log): Admission {
  try {
    return admit(call, node);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warn("proxy refused", { node: node.id, peer: call.getPeer(), reason });
    throw new StreamRefusal(status.PERMISSION_DENIED, reason);
  }
}
