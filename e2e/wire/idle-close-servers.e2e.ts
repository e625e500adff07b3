// What other servers do with idle connections: Go's net/http, in HTTP/1 and HTTP/2, and nginx. `HEDDLE_IDLE_FULL=1` runs ten times as much.
// Time limit: 900 s.
import { describe, it } from "node:test";

import { startGoUpstream } from "./idle/go-upstream.ts";
import { startNginx } from "./idle/nginx-upstream.ts";
import { QUIET } from "./idle/node-scene.ts";
import { type Case, expectUnharmed, LIMIT, type Scene, TIMES } from "./idle/unharmed.ts";
import { type Upstream, Upstreams } from "./idle/upstream.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

interface Server extends Omit<Case, "port"> {
  readonly protocol: "http1" | "http2";
}

/** One proxy in front of all; `stops` end the servers. */
async function startScene(servers: readonly Server[], stops: readonly (() => unknown)[]): Promise<Scene> {
  const proxy = await Proxy.start({
    listeners: servers.map((_, i) => httpListener(`in${i}`, `app${i}`)),
    clusters: servers.map(({ upstream, protocol }, i) => cluster(`app${i}`, upstream.port, protocol)),
  });
  return {
    cases: servers.map((one, i) => ({ ...one, port: proxy.port(`in${i}`) })),
    stop: async () => {
      await proxy.stop();
      for (const stop of stops) await stop();
    },
  };
}

const METHODS = ["GET", "POST"] as const;

// Both at once: most of the time is spent waiting.
describe("other servers", { concurrency: 2 }, () => {
  it("Go's net/http with an IdleTimeout of 1 s fails nobody, in HTTP/1 and in HTTP/2", LIMIT, async (t) => {
    await expectUnharmed(t, async () => {
      const wanted = METHODS.flatMap((method) =>
        (["http1", "http2"] as const).map((protocol) => ({ method, protocol })),
      );
      const started = await Promise.all(wanted.map(() => startGoUpstream(1000)));
      const servers = started.map((upstream, i): Server => {
        const { method = "GET", protocol = "http1" } = wanted[i] ?? {};
        return { name: `Go ${protocol}`, upstream, method, protocol, lanes: 100, rounds: 3 * TIMES, idleMs: 1000 };
      });
      return startScene(
        servers,
        started.map((one) => () => one.stop()),
      );
    });
  });

  it("nginx fails nobody, with its keepalive_timeout and its keepalive_requests", LIMIT, async (t) => {
    const kinds = [
      { name: "nginx keepalive_timeout", rules: "keepalive_timeout 1s;", lanes: 100, rounds: 3 * TIMES, idleMs: 1000 },
      { name: "nginx keepalive_requests", rules: "keepalive_requests 10;", lanes: 50 * TIMES, rounds: 29, idleMs: 0 },
    ];
    const wanted = METHODS.flatMap((method) => kinds.map((kind) => ({ ...kind, method, protocol: "http1" as const })));
    await expectUnharmed(t, async () => {
      const behind = await Upstreams.start(wanted.map(() => ({ ...QUIET, idleMs: 600_000 })));
      const nginx = await startNginx(behind.all.map((upstream, i) => ({ upstream, rules: wanted[i]?.rules ?? "" })));
      const pairs = nginx.all.flatMap((upstream: Upstream, i): Server[] => {
        const one = wanted[i];
        return one === undefined ? [] : [{ ...one, upstream }];
      });
      return startScene(pairs, [() => nginx.stop(), () => behind.stop()]);
    });
  });
});
