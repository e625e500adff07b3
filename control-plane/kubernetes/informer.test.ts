import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { until } from "../registry/testing/suite.ts";
import { Informer, type InformerTimes } from "./informer.ts";
import { serviceType, type ResourceType } from "./resource-type.ts";
import { TestApiServer } from "./testing/api-server.ts";

const services = "/api/v1/services";
const quick: InformerTimes = { retryMs: 5, longestRetryMs: 20, absentMs: 10, silenceMs: 5000, watchMs: 60_000 };

interface Watching {
  readonly server: TestApiServer;
  readonly informer: Informer<string>;
  /** Names, sorted, each with what it holds; at each call of the listener. */
  readonly seen: (readonly string[])[];
  readonly held: () => readonly string[];
}

function watching(
  title: string,
  body: (parts: Watching) => Promise<void>,
  options: { readonly type?: ResourceType; readonly times?: InformerTimes; readonly first?: readonly string[] } = {},
): void {
  test(title, { timeout: 10_000 }, async () => {
    const { type = serviceType, times = quick, first = [] } = options;
    const server = await TestApiServer.start(...(type === serviceType ? [services] : []));
    for (const name of first) put(server, name, 1);
    const seen: (readonly string[])[] = [];
    const held = (): readonly string[] => [...informer.keys()].map((key) => `${key}=${informer.get(key)}`).toSorted();
    const note = (): void => void seen.push(held());
    const client = server.client;
    const informer = new Informer<string>(
      {
        client,
        type,
        clock: systemClock,
        random: systemRandom,
        log: silentLog,
        times,
        keep: ({ spec }) => JSON.stringify(spec),
      },
      { onReplace: note, onChange: note, onState: () => undefined },
    );
    informer.start();
    try {
      await body({ server, informer, seen, held });
    } finally {
      await informer.close();
      client.close();
      await server.down();
    }
  });
}

function put(server: TestApiServer, name: string, spec: number, collection = services): void {
  server.put(collection, { metadata: { namespace: "shop", name }, spec });
}

watching(
  "an informer lists in pages, then follows what is added, changed and removed",
  async ({ server, informer, held }) => {
    await until(() => informer.state === "live");
    assert.equal(held().length, 1203);
    put(server, "new", 1);
    put(server, "s0", 2);
    server.remove(services, "shop", "s1");
    await until(() => held().length === 1203 && informer.get("shop/s0") === "2" && informer.get("shop/new") === "1");
    assert.equal(informer.listCount, 1);
  },
  { first: Array.from({ length: 1203 }, (_, index) => `s${index}`) },
);

watching(
  "a restarted API server is watched again from where we were, and nothing was empty or lost meanwhile",
  async ({ server, informer, seen, held }) => {
    await until(() => informer.state === "live");
    await server.down();
    await until(() => informer.state === "stale");
    assert.deepEqual(held(), ["shop/a=1"]);
    put(server, "a", 2);
    put(server, "b", 1);
    await server.up();
    await until(() => informer.state === "live" && held().length === 2);
    assert.deepEqual(held(), ["shop/a=2", "shop/b=1"]);
    assert.equal(informer.listCount, 1);
    assert.ok(seen.every((names) => names.length > 0));
  },
  { first: ["a"] },
);

watching(
  "a version that the server has forgotten leads to a new list, taken over at once",
  async ({ server, informer, seen, held }) => {
    await until(() => informer.state === "live");
    await server.down();
    put(server, "b", 1);
    server.remove(services, "shop", "a");
    server.compact();
    await server.up();
    await until(() => informer.listCount === 2);
    assert.deepEqual(held(), ["shop/b=1"]);
    assert.deepEqual(seen, [["shop/a=1"], ["shop/b=1"]]);
  },
  { first: ["a"] },
);

watching(
  "a bookmark keeps a quiet kind's version young, so that it is not listed again",
  async ({ server, informer }) => {
    await until(() => informer.state === "live" && server.requests.includes("GET /api/v1/services?watch"));
    put(server, "x", 1, "/api/v1/other");
    server.bookmark();
    // The bookmark is read before what comes after it on the same connection.
    put(server, "b", 1);
    await until(() => informer.get("shop/b") !== undefined);
    server.compact();
    server.endWatches();
    await until(() => server.requests.filter((request) => request.endsWith("?watch")).length === 2);
    put(server, "c", 1);
    await until(() => informer.get("shop/c") !== undefined);
    assert.equal(informer.listCount, 1);
  },
  { first: ["a"] },
);

watching(
  "a watch that falls silent is taken for dead and begun again",
  async ({ server, informer }) => {
    await until(() => server.requests.filter((request) => request.endsWith("?watch")).length >= 3);
    assert.equal(informer.listCount, 1);
  },
  { times: { ...quick, silenceMs: 30 } },
);

const route: ResourceType = {
  group: "example.org",
  versions: ["v1", "v1beta1"],
  plural: "routes",
  kind: "Route",
};

watching(
  "a kind that is not installed is awaited, and read in an older version where that is served",
  async ({ server, informer, held }) => {
    await until(() => informer.state === "absent");
    server.install("/apis/example.org/v1beta1/routes");
    put(server, "a", 1, "/apis/example.org/v1beta1/routes");
    await until(() => informer.state === "live");
    assert.equal(informer.apiVersion, "v1beta1");
    assert.deepEqual(held(), ["shop/a=1"]);
    server.uninstall("/apis/example.org/v1beta1/routes");
    await until(() => informer.state === "absent");
    assert.deepEqual(held(), []);
  },
  { type: route },
);

watching(
  "while an API server is not ready, its word that a kind does not exist is not believed",
  async ({ server, informer, held }) => {
    await until(() => informer.state === "live");
    server.isReady = false;
    server.uninstall(services);
    await until(() => informer.state === "stale");
    assert.deepEqual(held(), ["shop/a=1"]);
    server.isReady = true;
    await until(() => informer.state === "absent");
  },
  { first: ["a"] },
);

test("a closed informer says nothing any more and leaves no request open", { timeout: 10_000 }, async () => {
  const server = await TestApiServer.start(services);
  const client = server.client;
  let told = 0;
  const count = (): void => void told++;
  const informer = new Informer(
    {
      client,
      type: serviceType,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      times: quick,
      keep: () => true,
    },
    { onReplace: count, onChange: count, onState: () => undefined },
  );
  informer.start();
  await until(() => informer.state === "live");
  await informer.close();
  const before = told;
  put(server, "a", 1);
  await server.down();
  client.close();
  assert.equal(told, before);
});
