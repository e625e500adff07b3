// The state-of-the-world dialogue of ADS with one proxy: gRPC clients and old Envoys speak it.
//
// CDS and LDS say everything each time, so leaving a name out removes it; the other kinds say what changed.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createHash } from "node:crypto";
import type {
  DiscoveryRequest,
  DiscoveryResponseSchema,
} from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { TYPE_URLS, tryResourceKind, type ResourceKind } from "#config/xds/type-urls.ts";
import type { EncodedResource, Snapshot } from "./encoded-resource.ts";
import { mayChange, mayRemove, SEND_ORDER, type Progress } from "./order.ts";
import { namesIn } from "./rejections.ts";
import { NonceCounter, NOTHING_ASKED, type KindStatus, type Session, type SessionOptions } from "./session.ts";
import { Subscription } from "./subscription.ts";

export type SotwResponse = MessageInitShape<typeof DiscoveryResponseSchema>;

/** Each response of these holds the whole set (xDS protocol, "Deleting resources"). */
const WHOLE_SET: ReadonlySet<ResourceKind> = new Set<ResourceKind>(["cluster", "listener"]);

/** The name under which the refusal of a whole set is kept. */
const WHOLE = "*";

class KindState {
  readonly subscription: Subscription;
  /** What was sent last, by name, so that a removal can be held back. */
  readonly sent = new Map<string, EncodedResource>();
  /** What the proxy took last, by name: said again in place of what it refused. */
  readonly accepted = new Map<string, EncodedResource>();
  /** What the last response held. */
  last: readonly EncodedResource[] = [];
  nonce = "";
  version = "";
  meshVersion = "";
  inFlightSinceMs: number | undefined;
  mustAnswer = true;
  /** A set that was refused without saying which resource is to blame: nothing like it is sent again. */
  refusedVersion = "";
  ackedVersion: string | undefined;

  constructor(kind: ResourceKind) {
    this.subscription = new Subscription(kind);
  }
}

export class SotwSession implements Session<DiscoveryRequest, SotwResponse> {
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
    this.#options.rejections.retain(({ kind, name, version }) => {
      if (name === WHOLE) return this.#states.get(kind)?.refusedVersion === version;
      return snapshot.resources[kind].get(name)?.version === version;
    });
  }

  receive(request: DiscoveryRequest): void {
    const kind = tryResourceKind(request.typeUrl);
    if (kind === undefined) return;
    const known = this.#states.get(kind);
    const state = known ?? new KindState(kind);
    if (known === undefined) {
      this.#states.set(kind, state);
      state.subscription.isWildcard = WHOLE_SET.has(kind) && request.resourceNames.length === 0;
    } else {
      // A request that answers an older response is stale: the proxy will answer the newer one too.
      if (request.responseNonce !== state.nonce) return;
      this.#answer(state, request);
    }
    this.#subscribe(state, request.resourceNames);
  }

  next(): SotwResponse | undefined {
    const snapshot = this.#snapshot;
    if (snapshot === undefined) return undefined;
    for (const kind of SEND_ORDER) {
      const state = this.#states.get(kind);
      const response = state === undefined ? undefined : this.#nextOf(state, snapshot);
      if (response !== undefined) return response;
    }
    return undefined;
  }

  /** VHDS is a matter of delta alone. */
  get asked(): ReadonlySet<string> {
    return NOTHING_ASKED;
  }

  get isSettled(): boolean {
    const snapshot = this.#snapshot;
    if (snapshot === undefined || this.#states.size === 0) return false;
    if (this.#progressOfUnasked("cluster") !== undefined && !this.#states.has("cluster")) return false;
    return [...this.#states.keys()].every((kind) => {
      const progress = this.#progressOf(kind, snapshot);
      return progress === undefined || (progress.inFlightSinceMs === undefined && !progress.hasChanges);
    });
  }

  get kinds(): readonly KindStatus[] {
    return [...this.#states.values()].map(({ subscription, inFlightSinceMs, ackedVersion }) => ({
      kind: subscription.kind,
      isWildcard: subscription.isWildcard,
      subscribed: subscription.names.size,
      held: subscription.knownSize,
      inFlight: inFlightSinceMs === undefined ? 0 : 1,
      ackedVersion,
    }));
  }

  #answer(state: KindState, request: DiscoveryRequest): void {
    if (state.inFlightSinceMs === undefined) return;
    state.inFlightSinceMs = undefined;
    if (request.errorDetail !== undefined) {
      this.#reject(state, request.errorDetail.message);
      return;
    }
    state.ackedVersion = state.meshVersion;
    state.refusedVersion = "";
    const { kind } = state.subscription;
    this.#options.rejections.forget(kind, WHOLE);
    if (WHOLE_SET.has(kind)) state.accepted.clear();
    for (const resource of state.last) {
      state.accepted.set(resource.name, resource);
      const offered = this.#snapshot?.resources[kind].get(resource.name);
      if (offered?.version === resource.version) this.#options.rejections.forget(kind, resource.name);
    }
  }

  #reject(state: KindState, reason: string): void {
    const { clock, rejections } = this.#options;
    const { kind } = state.subscription;
    const suspects = state.last.filter(({ name, version }) => state.accepted.get(name)?.version !== version);
    const names = suspects.map(({ name }) => name);
    const culprits = new Set(names.length === 1 ? names : namesIn(reason, names));
    for (const { name, version } of suspects) {
      if (culprits.has(name)) rejections.add({ kind, name, version, reason, atMs: clock.wallMs() });
      state.subscription.setKnown(name, state.accepted.get(name)?.version);
    }
    if (culprits.size > 0) return;
    state.refusedVersion = state.version;
    rejections.add({ kind, name: WHOLE, version: state.version, reason, atMs: clock.wallMs() });
  }

  #subscribe({ subscription }: KindState, names: readonly string[]): void {
    if (subscription.isWildcard && names.length === 0) return;
    const wanted = new Set(names);
    if (subscription.isWildcard && !wanted.has("*")) subscription.endWildcard();
    for (const name of subscription.names) if (!wanted.has(name)) subscription.unsubscribe(name);
    for (const name of wanted) {
      if (name === "*") subscription.isWildcard = true;
      else if (!subscription.names.has(name)) {
        subscription.names.add(name);
        subscription.urgent.add(name);
      }
    }
  }

  #nextOf(state: KindState, snapshot: Snapshot): SotwResponse | undefined {
    const { subscription } = state;
    const progressOf = (kind: ResourceKind): Progress | undefined => this.#progressOf(kind, snapshot);
    const nowMs = this.#options.clock.nowMs();
    const { changed, removed } = this.#compare(state, snapshot);
    const isHeld = !mayChange(subscription.kind, progressOf, nowMs) || state.inFlightSinceMs !== undefined;
    const isFirst = subscription.knownSize === 0;
    const due = changed.filter(({ name }) => isFirst || !isHeld || subscription.urgent.has(name));
    const mayForget = removed.length > 0 && !isHeld && mayRemove(subscription.kind, progressOf, nowMs);
    const gone = mayForget ? removed : [];
    return WHOLE_SET.has(subscription.kind)
      ? this.#sendWhole(state, snapshot, due, gone)
      : this.#sendSome(state, snapshot, due, gone);
  }

  /** Everything that the proxy has, with what is due replaced, and what goes left out. */
  #sendWhole(
    state: KindState,
    snapshot: Snapshot,
    due: readonly EncodedResource[],
    gone: readonly string[],
  ): SotwResponse | undefined {
    if (due.length === 0 && gone.length === 0 && !state.mustAnswer) return undefined;
    const set = new Map<string, EncodedResource>();
    for (const [name, resource] of state.sent) {
      if (gone.includes(name) || !state.subscription.wants(name)) continue;
      const isRefused = this.#options.rejections.has(state.subscription.kind, name, resource.version);
      const kept = isRefused ? state.accepted.get(name) : resource;
      if (kept !== undefined) set.set(name, kept);
    }
    for (const resource of due) set.set(resource.name, resource);
    return this.#send(state, snapshot, [...set.values()], due, gone);
  }

  #sendSome(
    state: KindState,
    snapshot: Snapshot,
    due: readonly EncodedResource[],
    gone: readonly string[],
  ): SotwResponse | undefined {
    // There is no word for "removed" here: the proxy stops asking for it.
    for (const name of gone) state.subscription.setKnown(name, undefined);
    state.mustAnswer = false;
    return due.length === 0 ? undefined : this.#send(state, snapshot, due, due, []);
  }

  #send(
    state: KindState,
    snapshot: Snapshot,
    resources: readonly EncodedResource[],
    due: readonly EncodedResource[],
    gone: readonly string[],
  ): SotwResponse | undefined {
    const { subscription, sent } = state;
    const version = versionOfSet(resources);
    if (version === state.refusedVersion) return undefined;
    for (const { name, version: after, assignment } of due) {
      if (assignment !== undefined && subscription.versionOf(name) !== after) this.#pushAgain(assignment);
      subscription.setKnown(name, after);
      subscription.urgent.delete(name);
    }
    for (const name of gone) subscription.setAbsent(name);
    if (WHOLE_SET.has(subscription.kind)) sent.clear();
    for (const resource of resources) sent.set(resource.name, resource);
    state.last = resources;
    state.mustAnswer = false;
    state.version = version;
    state.meshVersion = snapshot.version;
    state.nonce = this.#nonces.next();
    state.inFlightSinceMs = this.#options.clock.nowMs();
    return {
      versionInfo: version,
      typeUrl: TYPE_URLS[subscription.kind],
      resources: resources.map(({ any }) => any),
      nonce: state.nonce,
    };
  }

  /** The duplicate-looking request with which Envoy asks for this is thereby answered before it comes. */
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
    if (kind !== "cluster" || !this.#states.has("endpoints")) return undefined;
    return { inFlightSinceMs: this.#beganAtMs, hasChanges: false, hasRejections: false };
  }

  #progressOf(kind: ResourceKind, snapshot: Snapshot): Progress | undefined {
    const state = this.#states.get(kind);
    if (state === undefined) return this.#progressOfUnasked(kind);
    const { changed, removed } = this.#compare(state, snapshot);
    return {
      inFlightSinceMs: state.inFlightSinceMs,
      hasChanges: changed.length + removed.length > 0,
      hasRejections: this.#options.rejections.all.some((rejection) => rejection.kind === kind),
    };
  }
}

function versionOfSet(resources: readonly EncodedResource[]): string {
  const hash = createHash("sha256");
  for (const { name, version } of resources.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    hash.update(`${name}\n${version}\n`);
  }
  return hash.digest("base64url").slice(0, 16);
}
