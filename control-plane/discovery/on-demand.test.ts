import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DeltaDiscoveryRequestSchema } from "#config/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { TYPE_URLS, tryResourceKind, type ResourceKind } from "#config/xds/type-urls.ts";
import { silentLog } from "#lib/log.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { DeltaSession, type DeltaResponse } from "./delta-session.ts";
import { Encoder } from "./encoded-resource.ts";
import { Rejections } from "./rejections.ts";
import { makeAssignment, makeCluster, makeResources, makeRouteTable } from "./testing/resources.ts";

const encoder = new Encoder(silentLog);
const [host] = makeRouteTable("t", "c").virtualHosts;
assert.ok(host);
const named = { ...host, name: "shop/a:80", domains: ["a", "a:80"] };
const before = makeResources("1", { clusters: [], routes: [] });
const after = makeResources("1", {
  clusters: [makeCluster("c")],
  endpoints: [makeAssignment("c", 80)],
  virtualHosts: { "t/a": named },
});

function say(session: DeltaSession, kind: ResourceKind, fields: object): void {
  session.receive(create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS[kind], ...fields }));
}

function makeSession(): DeltaSession {
  return new DeltaSession({ clock: new FakeClock(), rejections: new Rejections(), appliesGoodSiblings: true });
}

function kindOf(response: DeltaResponse | undefined): ResourceKind | undefined {
  return tryResourceKind(response?.typeUrl ?? "");
}

test("a host that is asked for comes with its other names, when its cluster and endpoints are acknowledged", () => {
  const session = makeSession();
  session.offer(encoder.encode(before));
  say(session, "cluster", {});
  say(session, "cluster", { responseNonce: session.next()?.nonce ?? "" });
  say(session, "virtualHost", { resourceNamesSubscribe: ["t/a"] });
  assert.deepEqual([...session.asked], ["t/a"]);
  session.offer(encoder.encode(after));
  const cluster = session.next();
  assert.equal(kindOf(cluster), "cluster");
  say(session, "endpoints", { resourceNamesSubscribe: ["c"] });
  const endpoints = session.next();
  assert.equal(kindOf(endpoints), "endpoints");
  assert.equal(session.next(), undefined);
  say(session, "endpoints", { responseNonce: endpoints?.nonce ?? "" });
  assert.equal(session.next(), undefined);
  say(session, "cluster", { responseNonce: cluster?.nonce ?? "" });
  const answer = session.next();
  assert.equal(kindOf(answer), "virtualHost");
  const [resource] = answer?.resources ?? [];
  assert.deepEqual([resource?.name, resource?.aliases], ["t/a", ["t/a", "t/a:80"]]);
  say(session, "virtualHost", { responseNonce: answer?.nonce ?? "" });
  assert.ok(session.isSettled);
});

test("a host that does not exist is answered at once, by a resource without content", () => {
  const session = makeSession();
  session.offer(encoder.encode(before));
  say(session, "virtualHost", { resourceNamesSubscribe: ["t/nobody"] });
  const answer = session.next();
  assert.deepEqual(answer?.resources, [{ name: "t/nobody", aliases: ["t/nobody"] }]);
  assert.deepEqual(answer?.removedResources, []);
  assert.equal(session.next(), undefined);
});

test("a proxy that comes back with a host keeps the host's cluster, and a host that is gone is taken away first", () => {
  const session = makeSession();
  const { resources } = encoder.encode(after);
  const versionOf = (kind: ResourceKind, name: string): string => resources[kind].get(name)?.version ?? "";
  say(session, "virtualHost", {
    resourceNamesSubscribe: ["t/a"],
    initialResourceVersions: { "t/a": versionOf("virtualHost", "t/a") },
  });
  session.offer(encoder.encode(after));
  say(session, "cluster", { initialResourceVersions: { c: versionOf("cluster", "c") } });
  const first = session.next();
  assert.deepEqual([kindOf(first), first?.resources, first?.removedResources], ["cluster", [], []]);
  say(session, "cluster", { responseNonce: first?.nonce ?? "" });
  assert.equal(session.next(), undefined);
  session.offer(encoder.encode(before));
  const gone = session.next();
  assert.deepEqual([kindOf(gone), gone?.removedResources], ["virtualHost", ["t/a"]]);
  assert.equal(session.next(), undefined);
  say(session, "virtualHost", { responseNonce: gone?.nonce ?? "" });
  const last = session.next();
  assert.deepEqual([kindOf(last), last?.removedResources], ["cluster", ["c"]]);
});
