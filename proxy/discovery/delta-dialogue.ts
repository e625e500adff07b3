// The proxy's side of delta ADS, without a socket: responses in, requests out, and what is held in between.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DeltaDiscoveryResponse, Resource } from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { NodeSchema } from "#config/xds/gen/envoy/config/core/v3/base_pb.ts";
import type { RouteScope, RouteTable } from "#config/model/route.ts";
import type { DecodeOptions } from "#config/xds/issues.ts";
import { tryPackRouteTable } from "#config/xds/plain/pack-route-table.ts";
import { PackedRouteTable } from "#config/xds/plain/packed-route-table.ts";
import { decodeResource, resourceName, type DecodedResource } from "#config/xds/resource.ts";
import { TYPE_URLS, tryResourceKind, type ResourceKind } from "#config/xds/type-urls.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { ApplyError, DiscoveredConfig, Validate } from "./config.ts";
import { KindStore, type Held } from "./kind-store.ts";
import { OnDemandTables, tableOf } from "./on-demand-tables.ts";
import { collectReferences } from "./references.ts";

type NodeInit = MessageInitShape<typeof NodeSchema>;

/** `DeltaDiscoveryRequest`, as far as we write it. */
export interface DeltaRequest {
  readonly typeUrl: string;
  readonly node?: NodeInit;
  readonly resourceNamesSubscribe?: string[];
  readonly resourceNamesUnsubscribe?: string[];
  readonly initialResourceVersions?: Record<string, string>;
  readonly responseNonce?: string;
  /** `code` is one of google.rpc.Code. */
  readonly errorDetail?: { readonly code: number; readonly message: string };
}

/** Envoy's `initial_fetch_timeout`: after it a listener or cluster goes on without what it named. */
const INITIAL_FETCH_TIMEOUT_MS = 15_000;

/** What a configuration waits for: a virtual host asked for on demand is waited for by its requests alone. */
const ORDER = ["cluster", "endpoints", "listener", "route", "secret"] as const satisfies readonly ResourceKind[];
/** On demand first: what the control plane gives of the other kinds depends on it, and must not be taken away in between. */
const BEGIN_ORDER = ["virtualHost", ...ORDER] as const;
type HeldKind = ResourceKind;

const NO_HEADERS = { set: [], add: [], addIfAbsent: [], remove: [] };
const NO_SCOPE: RouteScope = { requestHeaders: NO_HEADERS, responseHeaders: NO_HEADERS, filterOverrides: [] };

export interface DialogueOptions {
  readonly node: NodeInit;
  readonly listeners: boolean;
  readonly clusters: boolean;
  readonly decode: DecodeOptions;
  readonly validate: Validate;
  /** Secrets that the proxy serves to itself. */
  readonly ownSecrets: ReadonlySet<string>;
  /** Secrets that are asked for all the same, and waited for by nobody: the mesh's roots, which may change. */
  readonly watchedSecrets?: ReadonlySet<string>;
  readonly clock: Clock;
}

/** A response that was taken in and not yet answered. */
export interface Unanswered {
  readonly kind: ResourceKind;
  readonly nonce: string;
  /** What could not be decoded or validated; the rest of the response is taken. */
  readonly errors: readonly ApplyError[];
  /** What was held before under each name that the response changed. */
  readonly previous: Map<string, Held | undefined>;
}

export class DeltaDialogue {
  readonly #options: DialogueOptions;
  readonly #stores: Readonly<Record<HeldKind, KindStore>>;
  readonly #tables = new OnDemandTables();
  #unanswered: Unanswered[] = [];
  #isOpen = false;
  #version = "";

  constructor(options: DialogueOptions) {
    this.#options = options;
    this.#stores = {
      cluster: new KindStore("cluster", options.clusters),
      endpoints: new KindStore("endpoints", false),
      listener: new KindStore("listener", options.listeners),
      route: new KindStore("route", false),
      virtualHost: new KindStore("virtualHost", false),
      secret: new KindStore("secret", false, options.watchedSecrets),
    };
  }

  get stores(): Readonly<Record<HeldKind, KindStore>> {
    return this.#stores;
  }

  /** The requests with which a stream begins: what is wanted, and what is held already. */
  begin(): DeltaRequest[] {
    this.#isOpen = true;
    this.#unanswered = [];
    const requests: DeltaRequest[] = [];
    for (const kind of BEGIN_ORDER) {
      const store = this.#stores[kind];
      store.begin(this.#options.clock.nowMs());
      if (!store.isWildcard && store.wanted.size === 0) continue;
      requests.push({
        typeUrl: TYPE_URLS[kind],
        resourceNamesSubscribe: store.isWildcard ? [] : [...store.wanted],
        initialResourceVersions: store.versions,
      });
    }
    const [first, ...rest] = requests;
    return first === undefined ? [] : [{ ...first, node: this.#options.node }, ...rest];
  }

  /** The stream ended: nonces are void, what is held stays. */
  end(): void {
    this.#isOpen = false;
    this.#unanswered = [];
  }

  /** Takes a response in; answers the requests that follow from it at once. Its ACK or NACK comes from `answer`. */
  receive(response: DeltaDiscoveryResponse): DeltaRequest[] {
    const kind = tryResourceKind(response.typeUrl);
    if (kind === undefined) return [];
    const store = this.#stores[kind];
    store.onResponse();
    if (response.systemVersionInfo !== "") this.#version = response.systemVersionInfo;
    const errors: ApplyError[] = [];
    const previous = new Map<string, Held | undefined>();
    const remove = (name: string): void => {
      const before = store.held.get(name);
      if (store.remove(name)) previous.set(name, before);
    };
    for (const name of response.removedResources) remove(name);
    for (const item of response.resources) {
      for (const name of this.#namesOf(kind, item)) {
        // VHDS: a resource without content says that there is no such host.
        if (kind === "virtualHost" && item.resource === undefined) {
          remove(name);
          continue;
        }
        try {
          const held = this.#take(kind, item);
          previous.set(name, store.held.get(name));
          store.put(name, held);
        } catch (error) {
          store.refuse(name);
          errors.push({ kind, name, reason: describeError(error) });
        }
      }
    }
    this.#unanswered.push({ kind, nonce: response.nonce, errors, previous });
    return this.#want();
  }

  /** True when everything that is named is here, is known not to be, or was waited for long enough. */
  isComplete(): boolean {
    return (this.waitsUntilMs() ?? -Infinity) <= this.#options.clock.nowMs();
  }

  /** When waiting ends (monotonic ms); `undefined` when nothing is waited for. Without a stream there is no end to it. */
  waitsUntilMs(): number | undefined {
    const times = ORDER.map((kind) => this.#stores[kind].waitsUntil(INITIAL_FETCH_TIMEOUT_MS)).filter(
      (time) => time !== undefined,
    );
    if (times.length === 0) return undefined;
    return this.#isOpen ? Math.max(...times) : Infinity;
  }

  /** The responses that are not answered yet; they now belong to the caller, who gives them to `answer`. */
  takeUnanswered(): Unanswered[] {
    return this.#unanswered.splice(0);
  }

  /** ACK, or NACK where a resource could not be decoded or applied; such a one is put back to what it was before. */
  answer(responses: readonly Unanswered[], applyErrors: readonly ApplyError[]): DeltaRequest[] {
    const requests = responses.map(({ kind, nonce, errors, previous }): DeltaRequest => {
      const failed = applyErrors.filter((error) => error.kind === kind && previous.has(error.name));
      const all = [...errors, ...failed];
      const base = { typeUrl: TYPE_URLS[kind], responseNonce: nonce };
      if (all.length === 0) return base;
      const message = all.map(({ name, reason }) => `${kind} ${name}: ${reason}`).join("; ");
      return { ...base, errorDetail: { code: 3, message } };
    });
    // Of several versions that came together the first knows what was held before them all: it is put back last.
    for (const { kind, previous } of responses.toReversed())
      for (const error of applyErrors)
        if (error.kind === kind && previous.has(error.name)) this.#putBack(kind, error.name, previous.get(error.name));
    return this.#isOpen ? [...requests, ...this.#want()] : [];
  }

  /** Asks for a virtual host, `<table>/<host>`; the request may be empty without a stream, whose beginning then asks. */
  ask(name: string): DeltaRequest[] {
    return this.#wantHosts(new Set([...this.#stores.virtualHost.wanted, name]));
  }

  /** Lets virtual hosts go that were asked for. */
  release(names: readonly string[]): DeltaRequest[] {
    const gone = new Set(names);
    return this.#wantHosts(this.#stores.virtualHost.wanted.difference(gone));
  }

  /** Takes a resource that was stored. @throws when it cannot be used. */
  restore(kind: HeldKind, name: string, version: string, bytes: Uint8Array): void {
    this.#stores[kind].held.set(name, hold(version, bytes, this.#decode(kind, name, bytes)));
    if (kind === "virtualHost") this.#stores.virtualHost.wanted.add(name);
  }

  /** After `restore`: wants what the restored resources name. */
  settleRestored(version: string): void {
    this.#version = version;
    this.#want();
  }

  config(origin: DiscoveredConfig["origin"]): DiscoveredConfig {
    const { listener, route, virtualHost, cluster, endpoints, secret } = this.#stores;
    return {
      version: this.#version,
      origin,
      listeners: modelsOf(listener, "listener"),
      routes: this.#tables.merge(modelsOf(route, "route"), modelsOf(virtualHost, "virtualHost")),
      clusters: modelsOf(cluster, "cluster"),
      assignments: modelsOf(endpoints, "endpoints"),
      secrets: modelsOf(secret, "secret"),
    };
  }

  /** A virtual host has the name that was asked for among its aliases, if it is not its own. */
  #namesOf(kind: HeldKind, item: Resource): readonly string[] {
    if (kind !== "virtualHost") return [item.name];
    return [...new Set([item.name, ...item.aliases])].filter((name) => this.#stores.virtualHost.wanted.has(name));
  }

  #take(kind: HeldKind, item: Resource): Held {
    const any = item.resource;
    if (any === undefined) throw new Error("the resource is empty");
    if (any.typeUrl !== TYPE_URLS[kind]) throw new Error(`its type is ${any.typeUrl}`);
    return hold(item.version, any.value, this.#decode(kind, item.name, any.value));
  }

  #decode(kind: HeldKind, name: string, bytes: Uint8Array): DecodedResource {
    const resource = this.#tryPack(kind, name, bytes) ?? decodeResource(TYPE_URLS[kind], bytes, this.#options.decode);
    if (resource.kind === "virtualHost") {
      const table: RouteTable = { ...NO_SCOPE, name: tableOf(name), virtualHosts: [resource.model], onDemand: true };
      const reason = this.#options.validate({ kind: "route", model: table });
      if (reason !== undefined) throw new Error(reason);
      return resource;
    }
    if (resourceName(resource) !== name) throw new Error(`it calls itself "${resourceName(resource)}"`);
    const reason = this.#options.validate(resource);
    if (reason !== undefined) throw new Error(reason);
    return resource;
  }

  /** Route tables alone are large. */
  #tryPack(kind: HeldKind, name: string, bytes: Uint8Array): DecodedResource | undefined {
    if (kind !== "route") return undefined;
    const before = this.#stores.route.held.get(name)?.resource;
    const model = tryPackRouteTable(bytes, this.#options.decode, before?.kind === "route" ? before.model : undefined);
    return model && { kind, name: model.name, model };
  }

  #putBack(kind: ResourceKind, name: string, before: Held | undefined): void {
    // A control plane that does not wait for answers may have sent a later version: it stays, and what worked is known to be behind it.
    const later = this.#unanswered.find((response) => response.kind === kind && response.previous.has(name));
    if (later !== undefined) {
      later.previous.set(name, before);
      return;
    }
    const store = this.#stores[kind];
    if (before === undefined) store.held.delete(name);
    else store.held.set(name, before);
  }

  #wantHosts(names: ReadonlySet<string>): DeltaRequest[] {
    const store = this.#stores.virtualHost;
    const request = toRequest(store, store.want(names, this.#options.clock.nowMs()));
    return request === undefined || !this.#isOpen ? [] : [request];
  }

  /** Subscribes to what is named now and unsubscribes from what is not any more. */
  #want(): DeltaRequest[] {
    const { listener, cluster, endpoints, route, secret } = this.#stores;
    const names = collectReferences(modelsOf(listener, "listener").values(), modelsOf(cluster, "cluster").values());
    const { ownSecrets, watchedSecrets = new Set<string>() } = this.#options;
    const secrets = names.secrets.difference(ownSecrets).union(watchedSecrets);
    const nowMs = this.#options.clock.nowMs();
    return [
      toRequest(endpoints, endpoints.want(names.assignments, nowMs)),
      toRequest(route, route.want(names.routes, nowMs)),
      toRequest(secret, secret.want(secrets, nowMs)),
    ].filter((request) => request !== undefined);
  }
}

/** What came is kept once: a packed table has it. */
function hold(version: string, bytes: Uint8Array, resource: DecodedResource): Held {
  const isPacked = resource.kind === "route" && resource.model instanceof PackedRouteTable;
  return { version, bytes: isPacked ? resource.model.shared.packed.bytes : bytes, resource };
}

function toRequest(store: KindStore, change: ReturnType<KindStore["want"]>): DeltaRequest | undefined {
  if (change.subscribe.length === 0 && change.unsubscribe.length === 0) return undefined;
  return {
    typeUrl: TYPE_URLS[store.kind],
    resourceNamesSubscribe: [...change.subscribe],
    resourceNamesUnsubscribe: [...change.unsubscribe],
  };
}

type ModelOf<Kind extends HeldKind> = Extract<DecodedResource, { readonly kind: Kind }>["model"];

function modelsOf<Kind extends HeldKind>(store: KindStore, kind: Kind): Map<string, ModelOf<Kind>> {
  const models = new Map<string, ModelOf<Kind>>();
  for (const [name, { resource }] of store.held) {
    // A store of this kind holds this kind alone.
    if (resource.kind === kind) models.set(name, resource.model as ModelOf<Kind>);
  }
  return models;
}
