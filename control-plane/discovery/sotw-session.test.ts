import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DiscoveryRequestSchema } from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { decodeResource } from "#config/xds/resource.ts";
import { TYPE_URLS, tryResourceKind, type ResourceKind } from "#config/xds/type-urls.ts";
import { silentLog } from "#lib/log.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import type { ProxyResources } from "../mesh/resources.ts";
import { Encoder } from "./encoded-resource.ts";
import { Rejections } from "./rejections.ts";
import { SotwSession } from "./sotw-session.ts";
import { makeAssignment, makeCluster, makeListener, makeResources, makeRouteTable } from "./testing/resources.ts";

interface Said {
  readonly kind: ResourceKind;
  readonly names: readonly string[];
  readonly version: string;
  readonly nonce: string;
}

class Dialogue {
  readonly clock = new FakeClock();
  readonly rejections = new Rejections();
  readonly session = new SotwSession({ clock: this.clock, rejections: this.rejections, appliesGoodSiblings: false });
  readonly #encoder = new Encoder(silentLog);
  readonly #names = new Map<ResourceKind, readonly string[]>();

  offer(resources: ProxyResources): void {
    this.session.offer(this.#encoder.encode(resources));
  }

  subscribe(kind: ResourceKind, names: readonly string[], after?: Said): void {
    this.#names.set(kind, names);
    this.#say(kind, { responseNonce: after?.nonce ?? "", versionInfo: after?.version ?? "" });
  }

  ack(said: Said): void {
    this.#say(said.kind, { responseNonce: said.nonce, versionInfo: said.version });
  }

  nack(said: Said, message: string): void {
    this.#say(said.kind, { responseNonce: said.nonce, errorDetail: { code: 3, message } });
  }

  hear(): Said[] {
    const heard: Said[] = [];
    for (let response = this.session.next(); response !== undefined; response = this.session.next()) {
      const { typeUrl = "", versionInfo = "", nonce = "" } = response;
      const kind = tryResourceKind(typeUrl);
      assert.ok(kind);
      const names = (response.resources ?? []).map(
        (any) => decodeResource(typeUrl, any.value ?? new Uint8Array(), { knownFilters: new Set() }).name,
      );
      heard.push({ kind, names, version: versionInfo, nonce });
    }
    return heard;
  }

  settle(): Said[] {
    const all: Said[] = [];
    for (let heard = this.hear(); heard.length > 0; heard = this.hear()) {
      all.push(...heard);
      for (const said of heard) this.ack(said);
    }
    return all;
  }

  #say(kind: ResourceKind, request: object): void {
    const resourceNames = [...(this.#names.get(kind) ?? [])];
    this.session.receive(create(DiscoveryRequestSchema, { typeUrl: TYPE_URLS[kind], resourceNames, ...request }));
  }
}

const lists = {
  listeners: [makeListener("l", 10_000, "r")],
  routes: [makeRouteTable("r", "c")],
  clusters: [makeCluster("c")],
  endpoints: [makeAssignment("c", 8080)],
};

function makeSettled(): Dialogue {
  const dialogue = new Dialogue();
  dialogue.offer(makeResources("1", lists));
  dialogue.subscribe("cluster", []);
  dialogue.subscribe("endpoints", ["c"]);
  dialogue.subscribe("listener", []);
  dialogue.subscribe("route", ["r"]);
  assert.deepEqual(
    dialogue.settle().map(({ kind }) => kind),
    ["cluster", "endpoints", "listener", "route"],
  );
  assert.equal(dialogue.session.isSettled, true);
  return dialogue;
}

const heardNames = (heard: readonly Said[]): unknown[] => heard.map(({ kind, names }) => [kind, ...names]);

test("sotw: every cluster response holds all clusters, and the changed one's assignment follows", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists, clusters: [makeCluster("c", 9), makeCluster("d")] }));
  assert.deepEqual(heardNames(dialogue.settle()), [
    ["cluster", "c", "d"],
    ["endpoints", "c"],
  ]);
});

test("sotw: an ACK is not answered", () => {
  assert.deepEqual(makeSettled().hear(), []);
});

test("sotw: a request with a stale nonce is ignored", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists, endpoints: [makeAssignment("c", 9)] }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack({ ...said, nonce: "1" }, "c is bad");
  assert.equal(dialogue.rejections.all.length, 0);
  dialogue.ack(said);
  assert.equal(dialogue.session.isSettled, true);
});

test("sotw: a subscription may change within an ACK, and only what is new is sent", () => {
  const dialogue = new Dialogue();
  dialogue.offer(makeResources("1", { ...lists, endpoints: [makeAssignment("a", 1), makeAssignment("b", 2)] }));
  dialogue.subscribe("endpoints", ["a"]);
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.subscribe("endpoints", ["a", "b"], said);
  assert.deepEqual(heardNames(dialogue.settle()), [["endpoints", "b"]]);
});

test("sotw: clusters asked for by name, as gRPC does, are not a wildcard", () => {
  const dialogue = new Dialogue();
  dialogue.offer(makeResources("1", { ...lists, clusters: [makeCluster("c"), makeCluster("d")] }));
  dialogue.subscribe("cluster", ["d"]);
  assert.deepEqual(heardNames(dialogue.settle()), [["cluster", "d"]]);
});

test("sotw: a cluster stays in the set until the route that dropped it was acknowledged", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists, clusters: [makeCluster("d")], routes: [makeRouteTable("r", "d")] }));
  assert.deepEqual(heardNames(dialogue.settle()), [
    ["cluster", "c", "d"],
    ["route", "r"],
    ["cluster", "d"],
  ]);
});

test("sotw: the refused resource is replaced by the one before, and the same bytes are not sent again", () => {
  const dialogue = makeSettled();
  const clusters = [makeCluster("c", 9), makeCluster("d")];
  dialogue.offer(makeResources("2", { ...lists, clusters }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack(said, 'cluster "c" is bad');
  const [again] = dialogue.settle();
  assert.deepEqual(again?.names, ["c", "d"]);
  assert.notEqual(again?.version, said.version);
  assert.deepEqual(
    dialogue.rejections.all.map(({ name }) => name),
    ["c"],
  );
  assert.deepEqual(dialogue.hear(), []);
});

test("sotw: a set refused without a name is not sent again until something changes", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists, clusters: [makeCluster("c", 9), makeCluster("d")] }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack(said, "something is wrong");
  assert.deepEqual(
    dialogue.hear().filter(({ kind }) => kind === "cluster"),
    [],
  );
  dialogue.offer(makeResources("3", { ...lists, clusters: [makeCluster("c", 8), makeCluster("d")] }));
  const [next] = dialogue.settle();
  assert.deepEqual(next?.names, ["c", "d"]);
  assert.deepEqual(dialogue.rejections.all, []);
});

test("sotw: the same content has the same version on every stream", () => {
  const [first, second] = [makeSettled(), makeSettled()].map((dialogue) => {
    dialogue.offer(makeResources("2", { ...lists, endpoints: [makeAssignment("c", 9)] }));
    return dialogue.hear()[0]?.version;
  });
  assert.ok(first);
  assert.equal(first, second);
});
