// How the proxy reaches its control plane: a gRPC channel to the bootstrap's ADS cluster, with the certificate of the hour.
import { ChannelCredentials, Client, credentials, type ClientDuplexStream } from "@grpc/grpc-js";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { formatAddress } from "#config/model/address.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { StringMatcher } from "#config/model/matcher.ts";
import type { UpstreamTls, ValidationSource } from "#config/model/tls.ts";
import { grpcMethod } from "#config/rpc/grpc-methods.ts";
import { AggregatedDiscoveryService } from "#config/xds/gen/envoy/service/discovery/v3/ads_pb.ts";
import type { DeltaDiscoveryResponse } from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { Watched } from "#lib/watched.ts";
import type { DeltaRequest } from "./delta-dialogue.ts";

/** The identity as far as the channel needs it. */
export interface ChannelIdentity {
  readonly certificate: { readonly keyPem: string; readonly chainPem: string };
  readonly bundlePem: string;
  readonly generation: number;
}

interface AdsHandlers {
  readonly onResponse: (response: DeltaDiscoveryResponse) => void;
  /** Called once, unless we closed the call. */
  readonly onEnd: (reason: string) => void;
}

/** One stream on a channel of its own. */
export interface AdsCall {
  send(request: DeltaRequest): void;
  close(): void;
}

export interface AdsTransport {
  /** `undefined`: there is no certificate to connect with yet. */
  open(handlers: AdsHandlers): AdsCall | undefined;
  /** Calls when a stream should be opened anew: there is another certificate. Until the returned function is called. */
  onRenewed(listener: () => void): () => void;
}

export interface GrpcAdsOptions {
  readonly cluster: Cluster;
  readonly identity: Watched<ChannelIdentity | undefined>;
  /** Names under which TLS contexts refer to that identity. */
  readonly certificateName: string;
  readonly bundleName: string;
}

/** A channel for each stream: a new certificate needs a new one, and an old one is then closed without hurting its successor. */
export function makeGrpcAdsTransport(options: GrpcAdsOptions): AdsTransport {
  const target = targetOf(options.cluster);
  const { tls } = options.cluster;
  const needsIdentity = tls !== undefined && namesIdentity(tls, options);
  const method = grpcMethod(AggregatedDiscoveryService, "deltaAggregatedResources");
  return {
    open(handlers) {
      const identity = options.identity.current;
      if (needsIdentity && identity === undefined) return undefined;
      const client = new Client(target, tls === undefined ? credentials.createInsecure() : secure(tls, identity), {
        ...(tls === undefined || tls.sni === "" ? {} : { "grpc.ssl_target_name_override": tls.sni }),
        ...(tls === undefined || tls.sni === "" ? {} : { "grpc.default_authority": tls.sni }),
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.enable_retries": 0,
        "grpc.enable_http_proxy": 0,
        "grpc.use_local_subchannel_pool": 1,
      });
      const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
      return carry(client, call, handlers);
    },
    onRenewed(listener) {
      let generation = options.identity.current?.generation;
      return options.identity.subscribe((identity) => {
        if (!needsIdentity || identity === undefined || identity.generation === generation) return;
        generation = identity.generation;
        listener();
      });
    },
  };
}

function carry(
  client: Client,
  call: ClientDuplexStream<DeltaRequest, DeltaDiscoveryResponse>,
  handlers: AdsHandlers,
): AdsCall {
  let isOver = false;
  const finish = (reason: string | undefined): void => {
    if (isOver) return;
    isOver = true;
    client.close();
    if (reason !== undefined) handlers.onEnd(reason);
  };
  call.on("data", (response: DeltaDiscoveryResponse) => {
    if (!isOver) handlers.onResponse(response);
  });
  call.on("error", (error) => finish(error.message));
  call.on("end", () => finish("the control plane ended the stream"));
  return {
    send(request) {
      if (!isOver) call.write(request);
    },
    close() {
      finish(undefined);
      call.cancel();
    },
  };
}

function targetOf(cluster: Cluster): string {
  const { discovery } = cluster;
  if (discovery.kind === "eds" || discovery.kind === "originalDst") {
    throw new Error(`The ADS cluster "${cluster.name}" must be STATIC or of DNS: it is ${discovery.kind}`);
  }
  const endpoints = discovery.assignment.localities.flatMap((locality) => locality.endpoints);
  const [first] = endpoints;
  if (first === undefined) throw new Error(`The ADS cluster "${cluster.name}" has no endpoint`);
  if (discovery.kind !== "static") return `dns:${formatAddress(first)}`;
  const scheme = first.address.includes(":") ? "ipv6" : "ipv4";
  return `${scheme}:${endpoints.map(formatAddress).join(",")}`;
}

function namesIdentity(tls: UpstreamTls, names: GrpcAdsOptions): boolean {
  const isCertificate = tls.certificate?.kind === "sds" && tls.certificate.name === names.certificateName;
  const isBundle = tls.validation?.roots.kind === "sds" && tls.validation.roots.name === names.bundleName;
  return isCertificate || isBundle;
}

function secure(tls: UpstreamTls, identity: ChannelIdentity | undefined): ChannelCredentials {
  const own = tls.certificate?.kind === "inline" ? tls.certificate.secret : identity?.certificate;
  const certificate = tls.certificate === undefined ? undefined : own;
  const roots = tls.validation?.roots;
  const bundlePem = roots?.kind === "inline" ? roots.secret.bundlePem : identity?.bundlePem;
  if (tls.validation === undefined || bundlePem === undefined) {
    throw new Error("The ADS cluster's TLS must say which roots the control plane is checked against");
  }
  return credentials.createSsl(
    Buffer.from(bundlePem),
    certificate === undefined ? null : Buffer.from(certificate.keyPem),
    certificate === undefined ? null : Buffer.from(certificate.chainPem),
    { checkServerIdentity: (host, peer) => checkPeer(host, peer, tls.validation, tls.sni) },
  );
}

/** As Envoy: the names that the validation context lists; without a list, here, the SNI. */
function checkPeer(
  host: string,
  peer: PeerCertificate,
  validation: ValidationSource | undefined,
  sni: string,
): Error | undefined {
  const wanted = validation?.subjectAltNames ?? [];
  if (wanted.length === 0) return sni === "" ? undefined : checkServerIdentity(host, peer);
  const names = (peer.subjectaltname ?? "").split(", ");
  const isFound = wanted.some(({ type, matcher }) => {
    const prefix = { uri: "URI:", dns: "DNS:", ip: "IP Address:", email: "email:" }[type];
    return names.some((name) => name.startsWith(prefix) && matches(matcher, name.slice(prefix.length)));
  });
  return isFound ? undefined : new Error(`The control plane's certificate is for ${peer.subjectaltname ?? "nobody"}`);
}

function matches(matcher: StringMatcher, text: string): boolean {
  if (matcher.kind === "regex") throw new Error("The control plane's name cannot be a regular expression");
  const value = matcher.ignoreCase ? matcher.value.toLowerCase() : matcher.value;
  const subject = matcher.ignoreCase ? text.toLowerCase() : text;
  switch (matcher.kind) {
    case "exact":
      return subject === value;
    case "prefix":
      return subject.startsWith(value);
    case "suffix":
      return subject.endsWith(value);
    case "contains":
      return subject.includes(value);
    default:
      return matcher satisfies never;
  }
}
