// The delta dialogue of ADS with one proxy (xDS protocol, "Incremental xDS").
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponseSchema,
} from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { TYPE_URLS, tryResourceKind, type ResourceKind } from "#config/xds/type-urls.ts";
import type { EncodedResource, Snapshot } from "./encoded-resource.ts";
import { mayChange, mayRemove, SEND_ORDER, type Progress } from "./order.ts";
import { namesIn } from "./rejections.ts";
import { NonceCounter, NOTHING_ASKED, type KindStatus, type Session, type SessionOptions } from "./session.ts";
import { Subscription } from "./subscription.ts";

export type DeltaResponse = MessageInitShape<typeof DeltaDiscoveryResponseSchema>;

/** Bytes of resources in one response; one resource may be larger. grpc clients refuse messages above 4 MiB. */
const MAX_RESPONSE_BYTES = 512 * 1024;
/** xDS: these two may be asked for by asking for nothing. */
const LEGACY_WILDCARD: ReadonlySet<ResourceKind> = new Set<ResourceKind>(["cluster", "listener"]);

interface Gone {
  readonly absent: readonly string[];
  readonly removed: readonly string[];
}

/** A response that waits for its ACK or NACK. */
interface Sent {
  readonly resources: readonly EncodedResource[];
  /** What the proxy had of each before. */
  readonly previous: ReadonlyMap<string, string | undefined>;
  readonly atMs: number;
  readonly meshVersion: string;
}

class KindState {
  readonly subscription: Subscription;
  readonly inFlight = new Map<string, Sent>();
  /** Refused together with others: each is sent alone, to find out which one it is. */
  readonly alone = new Set<string>();
  mustAnswer = false;
  ackedVersion: string | undefined;

  constructor(kind: ResourceKind) {
    this.subscription = new Subscription(kind);
  }
}

export class DeltaSession implements Session<DeltaDiscoveryRequest, DeltaResponse> {
  readonly #options: SessionOptions;
  readonly #nonces = new NonceCounter();
  readonly #states = new Map<ResourceKind, KindState>();
  readonly #beganAtMs: number;
  #snapshot: Snapshot | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#beganAtMs = options.clock.nowMs();
  }

  offer(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#options.rejections.retain(
      ({ kind, name, version }) => snapshot.resources[kind].get(name)?.version === version,
    );
  }

  receive(request: DeltaDiscoveryRequest): void {
    const kind = tryResourceKind(request.typeUrl);
    if (kind === undefined) return;
    const known = this.#states.get(kind);
    const state = known ?? new KindState(kind);
    if (known === undefined) {
      this.#states.set(kind, state);
      this.#begin(state, request);
    }
    this.#answer(state, request);
    this.#subscribe(state, request);
    // Kept from before this stream, but not asked for any more.
    if (known === undefined && !state.subscription.isWildcard) state.subscription.endWildcard();
  }

  next(): DeltaResponse | undefined {
    const snapshot = this.#snapshot;
    if (snapshot === undefined) return undefined;
    for (const kind of SEND_ORDER) {
      const state = this.#states.get(kind);
      const response = state === undefined ? undefined : this.#nextOf(state, snapshot);
      if (response !== undefined) return response;
    }
    return undefined;
  }

  get asked(): ReadonlySet<string> {
    return this.#states.get("virtualHost")?.subscription.names ?? NOTHING_ASKED;
  }

  get isSettled(): boolean {
    const snapshot = this.#snapshot;
    if (snapshot === undefined || this.#states.size === 0) return false;
    if (this.#progressOfUnasked("cluster") !== undefined && !this.#states.has("cluster")) return false;
    for (const state of this.#states.values()) {
      if (state.inFlight.size > 0 || state.mustAnswer) return false;
      const { changed, absent, removed } = this.#compare(state, snapshot);
      if (changed.length + absent.length + removed.length > 0) return false;
    }
    return true;
  }

  get kinds(): readonly KindStatus[] {
    return [...this.#states.values()].map(({ subscription, inFlight, ackedVersion }) => ({
      kind: subscription.kind,
      isWildcard: subscription.isWildcard,
      subscribed: subscription.names.size,
      held: subscription.knownSize,
      inFlight: inFlight.size,
      ackedVersion,
    }));
  }

  /** The first request of a kind on this stream: a wildcard or not, and what the proxy has kept from before. */
  #begin(state: KindState, request: DeltaDiscoveryRequest): void {
    const { subscription } = state;
    const asksForNothing = request.resourceNamesSubscribe.length === 0;
    subscription.isWildcard = LEGACY_WILDCARD.has(subscription.kind) && asksForNothing;
    // A proxy waits for the first answer to a wildcard, even if that is empty.
    state.mustAnswer = subscription.isWildcard || request.resourceNamesSubscribe.includes("*");
    for (const [name, version] of Object.entries(request.initialResourceVersions)) subscription.setKnown(name, version);
  }

  #subscribe(state: KindState, request: DeltaDiscoveryRequest): void {
    const { subscription } = state;
    for (const name of request.resourceNamesSubscribe) {
      if (name === "*") subscription.isWildcard = true;
      else {
        subscription.names.add(name);
        // Asking again for what one asked for before means: send it again.
        if (request.initialResourceVersions[name] === undefined) subscription.urgent.add(name);
      }
    }
    for (const name of request.resourceNamesUnsubscribe) {
      if (name === "*") subscription.endWildcard();
      else subscription.unsubscribe(name);
    }
  }

  /** ACK or NACK; one with a nonce that nobody waits for is stale and says nothing. */
  #answer(state: KindState, request: DeltaDiscoveryRequest): void {
    const sent = state.inFlight.get(request.responseNonce);
    if (sent === undefined) return;
    state.inFlight.delete(request.responseNonce);
    if (request.errorDetail !== undefined) {
      this.#reject(state, sent, request.errorDetail.message);
      return;
    }
    state.ackedVersion = sent.meshVersion;
    for (const { name } of sent.resources) this.#options.rejections.forget(state.subscription.kind, name);
  }

  #reject({ subscription, alone }: KindState, sent: Sent, reason: string): void {
    const { clock, rejections, appliesGoodSiblings } = this.#options;
    const { kind } = subscription;
    const names = sent.resources.map(({ name }) => name);
    const culprits = new Set(names.length === 1 ? names : namesIn(reason, names));
    for (const { name, version } of sent.resources) {
      const isCulprit = culprits.has(name);
      if (isCulprit) rejections.add({ kind, name, version, reason, atMs: clock.wallMs() });
      else if (culprits.size === 0) alone.add(name);
      if (isCulprit || culprits.size === 0 || !appliesGoodSiblings) {
        // Unless a newer version went out meanwhile, the proxy has what it had.
        if (subscription.versionOf(name) === version) subscription.setKnown(name, sent.previous.get(name));
      }
    }
  }

  #nextOf(state: KindState, snapshot: Snapshot): DeltaResponse | undefined {
    const { subscription, inFlight } = state;
    const { kind } = subscription;
    const difference = this.#compare(state, snapshot);
    const nowMs = this.#options.clock.nowMs();
    const progressOf = (other: ResourceKind): Progress | undefined => this.#progressOf(other, snapshot);
    // A proxy waits for what a new resource names before it takes that on; a virtual host is waited for by requests alone,
    // so it comes when its clusters are there.
    const isWaitedFor = kind !== "virtualHost";
    const isFirst = isWaitedFor && subscription.knownSize === 0;
    const mayUpdate = inFlight.size === 0 && (isFirst || mayChange(kind, progressOf, nowMs));
    const due = difference.changed.filter(({ name }) => mayUpdate || (isWaitedFor && subscription.urgent.has(name)));
    const hasRemovals = difference.removed.length > 0 && inFlight.size === 0;
    const removed = hasRemovals && mayRemove(kind, progressOf, nowMs) ? difference.removed : [];
    const resources = takeSome(due, state.alone);
    const gone: Gone = { absent: difference.absent, removed };
    if (resources.length + gone.absent.length + removed.length === 0 && !state.mustAnswer) return undefined;
    return this.#send(state, snapshot, resources, gone);
  }

  #send(
    state: KindState,
    snapshot: Snapshot,
    resources: readonly EncodedResource[],
    { absent, removed }: Gone,
  ): DeltaResponse {
    const { subscription } = state;
    const previous = new Map<string, string | undefined>();
    for (const { name, version, assignment } of resources) {
      const before = subscription.versionOf(name);
      previous.set(name, before);
      subscription.setKnown(name, version);
      subscription.urgent.delete(name);
      state.alone.delete(name);
      if (assignment !== undefined && before !== version) this.#pushAgain(assignment);
    }
    for (const name of [...absent, ...removed]) subscription.setAbsent(name);
    state.mustAnswer = false;
    const nonce = this.#nonces.next();
    state.inFlight.set(nonce, {
      resources,
      previous,
      atMs: this.#options.clock.nowMs(),
      meshVersion: snapshot.version,
    });
    return {
      systemVersionInfo: snapshot.version,
      typeUrl: TYPE_URLS[subscription.kind],
      resources: [
        ...resources.map(({ name, version, any, aliases = [] }) => ({
          name,
          version,
          resource: any,
          aliases: [...aliases],
        })),
        ...(subscription.kind === "virtualHost" ? absent.map(unknownHost) : []),
      ],
      removedResources: subscription.kind === "virtualHost" ? [...removed] : [...absent, ...removed],
      nonce,
    };
  }

  /** Envoy warms a changed cluster until its assignment comes again, for 15 s if it does not, and never asks for it. */
  #pushAgain(assignment: string): void {
    const endpoints = this.#states.get("endpoints")?.subscription;
    if (endpoints?.wants(assignment) === true) endpoints.urgent.add(assignment);
  }

  #compare(state: KindState, snapshot: Snapshot): ReturnType<Subscription["compare"]> {
    const { subscription } = state;
    return subscription.compare(snapshot.resources[subscription.kind], this.#options.rejections);
  }

  /** Who asks for endpoints has clusters, and will ask for them: an Envoy that reconnects while it warms some does so late. */
  #progressOfUnasked(kind: ResourceKind): Progress | undefined {
    if (kind !== "cluster" || !(this.#states.has("endpoints") || this.#states.has("virtualHost"))) return undefined;
    return { inFlightSinceMs: this.#beganAtMs, hasChanges: false, hasRejections: false };
  }

  #progressOf(kind: ResourceKind, snapshot: Snapshot): Progress | undefined {
    const state = this.#states.get(kind);
    if (state === undefined) return this.#progressOfUnasked(kind);
    const times = [...state.inFlight.values()].map(({ atMs }) => atMs);
    const { changed, removed } = this.#compare(state, snapshot);
    return {
      inFlightSinceMs: times.length === 0 ? undefined : Math.min(...times),
      hasChanges: changed.length + removed.length > 0,
      hasRejections: this.#options.rejections.all.some((rejection) => rejection.kind === kind),
    };
  }
}

/** Envoy's on-demand filter lets a request go on with "there is none" when the answer is a resource without content. */
function unknownHost(name: string): { name: string; aliases: string[] } {
  return { name, aliases: [name] };
}

/** As many as fit into one response; one that must be alone, alone. */
function takeSome(due: readonly EncodedResource[], alone: ReadonlySet<string>): EncodedResource[] {
  const [first] = due;
  if (first === undefined) return [];
  if (alone.has(first.name)) return [first];
  const taken: EncodedResource[] = [];
  let bytes = 0;
  for (const resource of due) {
    if (alone.has(resource.name)) continue;
    bytes += resource.any.value.length;
    if (taken.length > 0 && bytes > MAX_RESPONSE_BYTES) break;
    taken.push(resource);
  }
  return taken;
}
