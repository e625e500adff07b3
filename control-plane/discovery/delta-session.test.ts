import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DeltaDiscoveryRequestSchema } from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { TYPE_URLS, tryResourceKind, type ResourceKind } from "#config/xds/type-urls.ts";
import { silentLog } from "#lib/log.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import type { ProxyResources } from "../mesh/resources.ts";
import { DeltaSession } from "./delta-session.ts";
import { Encoder } from "./encoded-resource.ts";
import { Rejections } from "./rejections.ts";
import { makeAssignment, makeCluster, makeListener, makeResources, makeRouteTable } from "./testing/resources.ts";

interface Said {
  readonly kind: ResourceKind | undefined;
  readonly names: readonly string[];
  readonly removed: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly nonce: string;
}

/** The proxy's end of a dialogue: says things, and hears what there is to hear. */
class Dialogue {
  readonly clock = new FakeClock();
  readonly rejections: Rejections;
  readonly session: DeltaSession;
  readonly #encoder = new Encoder(silentLog);

  constructor(rejections = new Rejections(), appliesGoodSiblings = false) {
    this.rejections = rejections;
    this.session = new DeltaSession({ clock: this.clock, rejections, appliesGoodSiblings });
  }

  offer(resources: ProxyResources): void {
    this.session.offer(this.#encoder.encode(resources));
  }

  subscribe(kind: ResourceKind, names: readonly string[], held: Record<string, string> = {}): void {
    this.#say(kind, { resourceNamesSubscribe: [...names], initialResourceVersions: held });
  }

  unsubscribe(kind: ResourceKind, ...names: readonly string[]): void {
    this.#say(kind, { resourceNamesUnsubscribe: [...names] });
  }

  ack(said: Said): void {
    if (said.kind !== undefined) this.#say(said.kind, { responseNonce: said.nonce });
  }

  nack(said: Said, message: string): void {
    if (said.kind !== undefined) this.#say(said.kind, { responseNonce: said.nonce, errorDetail: { code: 3, message } });
  }

  hear(): Said[] {
    const heard: Said[] = [];
    for (let response = this.session.next(); response !== undefined; response = this.session.next()) {
      const resources = response.resources ?? [];
      heard.push({
        kind: tryResourceKind(response.typeUrl ?? ""),
        names: resources.map(({ name = "" }) => name),
        removed: response.removedResources ?? [],
        versions: Object.fromEntries(resources.map(({ name = "", version = "" }) => [name, version])),
        nonce: response.nonce ?? "",
      });
    }
    return heard;
  }

  /** Hears and acknowledges until it is quiet; answers what it heard. */
  settle(): Said[] {
    const all: Said[] = [];
    for (let heard = this.hear(); heard.length > 0; heard = this.hear()) {
      all.push(...heard);
      for (const said of heard) this.ack(said);
    }
    return all;
  }

  #say(kind: ResourceKind, request: object): void {
    this.session.receive(create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS[kind], ...request }));
  }
}

const listener = makeListener("l", 10_000, "r");
const route = makeRouteTable("r", "c");
const cluster = makeCluster("c");
const assignment = makeAssignment("c", 8080);
const service = makeResources("1", {
  listeners: [listener],
  routes: [route],
  clusters: [cluster],
  endpoints: [assignment],
});

/** A proxy that has everything of `service`. */
function makeSettled(appliesGoodSiblings = false): Dialogue {
  const dialogue = new Dialogue(new Rejections(), appliesGoodSiblings);
  dialogue.offer(service);
  dialogue.subscribe("cluster", []);
  dialogue.subscribe("endpoints", ["c"]);
  dialogue.subscribe("listener", []);
  dialogue.subscribe("route", ["r"]);
  dialogue.settle();
  assert.equal(dialogue.session.isSettled, true);
  return dialogue;
}

const kindsOf = (heard: readonly Said[]): (ResourceKind | undefined)[] => heard.map(({ kind }) => kind);
const namesOf = (heard: readonly Said[]): (readonly string[])[] => heard.map(({ names }) => names);

test("delta: an empty first subscription to clusters and listeners is a wildcard, and sent in order", () => {
  const dialogue = new Dialogue();
  dialogue.offer(service);
  dialogue.subscribe("route", ["r"]);
  dialogue.subscribe("listener", []);
  dialogue.subscribe("endpoints", ["c"]);
  dialogue.subscribe("cluster", []);
  assert.deepEqual(kindsOf(dialogue.hear()), ["cluster", "endpoints", "listener", "route"]);
});

test("delta: an empty first subscription to routes is no wildcard", () => {
  const dialogue = new Dialogue();
  dialogue.offer(service);
  dialogue.subscribe("route", []);
  assert.deepEqual(dialogue.hear(), []);
});

test("delta: a wildcard is answered even when there is nothing", () => {
  const dialogue = new Dialogue();
  dialogue.offer(makeResources("0", {}));
  dialogue.subscribe("cluster", []);
  assert.deepEqual(namesOf(dialogue.hear()), [[]]);
});

test("delta: a name that does not exist is said to be removed at once, and comes when it exists", () => {
  const dialogue = makeSettled();
  dialogue.subscribe("route", ["later"]);
  const [absent] = dialogue.settle();
  assert.deepEqual(absent?.removed, ["later"]);
  dialogue.offer(makeResources("2", { ...lists(), routes: [route, makeRouteTable("later", "c")] }));
  assert.deepEqual(namesOf(dialogue.settle()), [["later"]]);
});

test("delta: a stale nonce is ignored", () => {
  const dialogue = new Dialogue();
  dialogue.offer(service);
  dialogue.subscribe("cluster", []);
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack({ ...said, nonce: "777" }, "c is bad");
  assert.equal(dialogue.rejections.all.length, 0);
  assert.equal(dialogue.session.isSettled, false);
  dialogue.ack(said);
  assert.equal(dialogue.session.isSettled, true);
});

test("delta: asking again for a name means sending it again", () => {
  const dialogue = makeSettled();
  dialogue.subscribe("endpoints", ["c"]);
  assert.deepEqual(namesOf(dialogue.settle()), [["c"]]);
});

test("delta: what was unsubscribed is not sent any more", () => {
  const dialogue = makeSettled();
  dialogue.unsubscribe("endpoints", "c");
  dialogue.offer(makeResources("2", { ...lists(), endpoints: [makeAssignment("c", 9090)] }));
  assert.deepEqual(dialogue.settle(), []);
});

test("delta: a changed cluster is followed by its assignment, even if that is the same", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists(), clusters: [makeCluster("c", 5)] }));
  assert.deepEqual(kindsOf(dialogue.settle()), ["cluster", "endpoints"]);
});

test("delta: a cluster without an assignment is given an empty one, so that it does not wait", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists(), clusters: [cluster, makeCluster("d")] }));
  dialogue.subscribe("endpoints", ["d"]);
  assert.deepEqual(namesOf(dialogue.settle()), [["d"], ["d"]]);
});

test("delta: a proxy that comes back and has not yet asked for its clusters keeps its routes", () => {
  const dialogue = new Dialogue();
  dialogue.offer(makeResources("2", { ...lists(), routes: [makeRouteTable("r", "new")] }));
  dialogue.subscribe("endpoints", ["c"], { c: "what it had" });
  dialogue.subscribe("route", ["r"], { r: "what it had" });
  assert.deepEqual(
    dialogue.settle().map(({ kind }) => kind),
    ["endpoints"],
  );
  assert.equal(dialogue.session.isSettled, false);
  dialogue.subscribe("cluster", []);
  assert.deepEqual(
    dialogue.settle().map(({ kind }) => kind),
    ["cluster", "endpoints", "route"],
  );
});

test("delta: equal content is not sent, whatever the mesh's version", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists(), clusters: [makeCluster("c")] }));
  assert.deepEqual(dialogue.hear(), []);
  assert.equal(dialogue.session.isSettled, true);
});

test("delta: after a reconnect only differences are sent, and what is gone is removed", () => {
  const before = new Dialogue();
  before.offer(service);
  before.subscribe("cluster", []);
  const [said] = before.hear();
  const version = said?.versions["c"] ?? "";
  const dialogue = new Dialogue();
  dialogue.offer(makeResources("2", { ...lists(), clusters: [cluster, makeCluster("d")] }));
  dialogue.subscribe("cluster", [], { c: version, gone: "x" });
  const heard = dialogue.settle();
  assert.deepEqual(
    heard.flatMap(({ names }) => names),
    ["d"],
  );
  assert.deepEqual(
    heard.flatMap(({ removed }) => removed),
    ["gone"],
  );
});

test("delta: a route changes only after the clusters that it needs were acknowledged", () => {
  const dialogue = makeSettled();
  dialogue.offer(
    makeResources("2", { ...lists(), clusters: [cluster, makeCluster("d")], routes: [makeRouteTable("r", "d")] }),
  );
  const [added, ...others] = dialogue.hear();
  assert.equal(added?.kind, "cluster");
  assert.deepEqual(others, []);
  dialogue.ack(added);
  assert.deepEqual(kindsOf(dialogue.hear()), ["route"]);
});

test("delta: a proxy that never answers holds its routes up for 15 s, no longer", () => {
  const dialogue = makeSettled();
  dialogue.offer(
    makeResources("2", { ...lists(), clusters: [cluster, makeCluster("d")], routes: [makeRouteTable("r", "d")] }),
  );
  assert.deepEqual(kindsOf(dialogue.hear()), ["cluster"]);
  dialogue.clock.advance(14_999);
  assert.deepEqual(dialogue.hear(), []);
  dialogue.clock.advance(1);
  assert.deepEqual(kindsOf(dialogue.hear()), ["route"]);
});

test("delta: a cluster goes only after the route that dropped it was acknowledged", () => {
  const dialogue = makeSettled();
  const moved = { ...lists(), clusters: [makeCluster("d")], routes: [makeRouteTable("r", "d")] };
  dialogue.offer(makeResources("2", moved));
  const [added] = dialogue.hear();
  assert.ok(added);
  assert.deepEqual([added.names, added.removed], [["d"], []]);
  dialogue.ack(added);
  const [switched, ...early] = dialogue.hear();
  assert.ok(switched);
  assert.deepEqual([switched.kind, early], ["route", []]);
  dialogue.ack(switched);
  assert.deepEqual(
    dialogue.settle().map(({ kind, removed }) => [kind, removed]),
    [["cluster", ["c"]]],
  );
});

test("delta: a cluster stays while the route that would drop it is refused", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists(), clusters: [makeCluster("d")], routes: [makeRouteTable("r", "d")] }));
  const [added] = dialogue.hear();
  assert.ok(added);
  dialogue.ack(added);
  const [switched] = dialogue.hear();
  assert.ok(switched);
  dialogue.nack(switched, "r does not compile");
  assert.deepEqual(dialogue.hear(), []);
});

test("delta: a refused resource is kept with its reason, not sent again, and tried again when it changes", () => {
  const dialogue = makeSettled();
  const bad = makeRouteTable("r", "elsewhere");
  dialogue.offer(makeResources("2", { ...lists(), routes: [bad] }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack(said, "no such cluster");
  assert.deepEqual(
    dialogue.rejections.all.map(({ kind, name, reason }) => [kind, name, reason]),
    [["route", "r", "no such cluster"]],
  );
  dialogue.offer(makeResources("3", { ...lists(), routes: [bad] }));
  dialogue.subscribe("route", ["r"]);
  assert.deepEqual(dialogue.hear(), []);
  dialogue.offer(makeResources("4", { ...lists(), routes: [makeRouteTable("r", "better")] }));
  assert.deepEqual(namesOf(dialogue.settle()), [["r"]]);
  assert.deepEqual(dialogue.rejections.all, []);
});

test("delta: a refusal is remembered for the proxy's next stream", () => {
  const first = makeSettled();
  const bad = makeResources("2", { ...lists(), routes: [makeRouteTable("r", "bad")] });
  first.offer(bad);
  const [said] = first.hear();
  assert.ok(said);
  first.nack(said, "no");
  const second = new Dialogue(first.rejections);
  second.offer(bad);
  second.subscribe("route", ["r"], { r: "what it had" });
  assert.deepEqual(second.hear(), []);
});

test("delta: when a refusal names one of several, an Envoy gets the others again without it", () => {
  const dialogue = makeSettled();
  const clusters = [cluster, makeCluster("good"), makeCluster("bad")];
  dialogue.offer(makeResources("2", { ...lists(), clusters }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack(said, "Error adding/updating cluster(s) bad: whatever");
  assert.deepEqual(namesOf(dialogue.settle()), [["good"]]);
  assert.equal(dialogue.session.isSettled, true);
});

test("delta: a Heddle proxy has applied the others by then", () => {
  const dialogue = makeSettled(true);
  dialogue.offer(makeResources("2", { ...lists(), clusters: [cluster, makeCluster("good"), makeCluster("bad")] }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack(said, "cluster bad: whatever");
  assert.deepEqual(dialogue.settle(), []);
});

test("delta: when a refusal names none of several, each is tried alone", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists(), clusters: [cluster, makeCluster("good"), makeCluster("bad")] }));
  const [said] = dialogue.hear();
  assert.ok(said);
  dialogue.nack(said, "Proto constraint validation failed");
  const [first, ...others] = dialogue.hear();
  assert.ok(first);
  assert.deepEqual([first.names, others], [["good"], []]);
  dialogue.ack(first);
  const [second] = dialogue.hear();
  assert.ok(second);
  assert.deepEqual(second.names, ["bad"]);
  dialogue.nack(second, "Proto constraint validation failed");
  assert.deepEqual(dialogue.hear(), []);
  assert.deepEqual(
    dialogue.rejections.all.map(({ name }) => name),
    ["bad"],
  );
});

test("delta: a proxy that does not answer gets the newest when it does, and nothing in between", () => {
  const dialogue = makeSettled();
  const offer = (version: string, port: number): void => {
    dialogue.offer(makeResources(version, { ...lists(), endpoints: [makeAssignment("c", port)] }));
  };
  offer("2", 1);
  const [first] = dialogue.hear();
  assert.ok(first);
  for (let at = 2; at < 50; at++) offer(String(at + 1), at);
  assert.deepEqual(dialogue.hear(), []);
  dialogue.ack(first);
  const rest = dialogue.settle();
  assert.equal(rest.length, 1);
});

test("delta: a new name is sent although an older response of its kind is not answered", () => {
  const dialogue = makeSettled();
  dialogue.offer(makeResources("2", { ...lists(), routes: [makeRouteTable("r", "x"), makeRouteTable("s", "c")] }));
  assert.deepEqual(namesOf(dialogue.hear()), [["r"]]);
  dialogue.subscribe("route", ["s"]);
  assert.deepEqual(namesOf(dialogue.hear()), [["s"]]);
});

function lists(): Parameters<typeof makeResources>[1] {
  return { listeners: [listener], routes: [route], clusters: [cluster], endpoints: [assignment] };
}
