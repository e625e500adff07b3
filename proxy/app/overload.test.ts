// What happens when memory runs out, from the cgroup's file to the answer that a client gets.
import assert from "node:assert/strict";
import http from "node:http";
import { describe, it } from "node:test";

import { FakeClock } from "#lib/testing/fake-clock.ts";

import { heapLimitMb, MemoryWatch, readMemoryLimit } from "./memory-watch.ts";
import { nextLevel } from "./overload.ts";
import { bootstrapYaml, clusterYaml, httpListenerYaml, serveHttp, TestPlane } from "./testing/plane-of.ts";

const files =
  (all: Record<string, string>) =>
  (path: string): string => {
    const found = all[path];
    if (found === undefined) throw new Error("ENOENT");
    return found;
  };

describe("the memory limit", () => {
  it("is read from either version of cgroups, and may be none", () => {
    assert.equal(readMemoryLimit(files({ "/sys/fs/cgroup/memory.max": "134217728\n" })), 134_217_728);
    assert.equal(readMemoryLimit(files({ "/sys/fs/cgroup/memory.max": "max\n" })), undefined);
    const v1 = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
    assert.equal(readMemoryLimit(files({ [v1]: "67108864\n" })), 67_108_864);
    assert.equal(readMemoryLimit(files({ [v1]: "9223372036854771712\n" })), undefined);
    assert.equal(readMemoryLimit(files({})), undefined);
  });

  it("gives the heaps of all threads together 60 %", () => {
    assert.equal(heapLimitMb(1024 * 1048576, 3), 204);
    assert.equal(heapLimitMb(undefined, 3), undefined);
  });

  it("is refused at from 85 %, shed at from 95 %, and each only left well below", () => {
    assert.equal(nextLevel("normal", 0.849), "normal");
    assert.equal(nextLevel("normal", 0.85), "refuse");
    assert.equal(nextLevel("refuse", 0.83), "refuse");
    assert.equal(nextLevel("refuse", 0.81), "normal");
    assert.equal(nextLevel("refuse", 0.95), "shed");
    assert.equal(nextLevel("shed", 0.93), "shed");
    assert.equal(nextLevel("shed", 0.91), "refuse");
    assert.equal(nextLevel("shed", 0.5), "normal");
  });

  it("is watched once a second, and only news is told", () => {
    const clock = new FakeClock();
    let used = 50;
    const told: string[] = [];
    const parts = {
      clock,
      limitBytes: 100,
      usedBytes: () => used,
      collect: () => void told.push("collect"),
      onLevel: (level: string) => void told.push(level),
    };
    const watch = new MemoryWatch(parts);
    watch.start();
    clock.advance(3000);
    used = 90;
    clock.advance(3000);
    used = 96;
    clock.advance(2000);
    used = 10;
    clock.advance(2000);
    assert.deepEqual(told, ["collect", "refuse", "shed", "shed", "normal"]);
    watch.stop();
    assert.equal(clock.pendingTimers, 0);
  });
});

describe("memory that is only garbage", () => {
  it("is collected, and nobody is refused", () => {
    const clock = new FakeClock();
    let used = 96;
    const told: string[] = [];
    const watch = new MemoryWatch({
      clock,
      limitBytes: 100,
      usedBytes: () => used,
      collect: () => (used = 40),
      onLevel: (level) => void told.push(level),
    });
    watch.start();
    clock.advance(5000);
    assert.deepEqual(told, []);
    watch.stop();
  });
});

describe("a worker whose memory is nearly used up", () => {
  it("refuses new requests with 503 and OM, closes idle connections, and serves again afterwards", async () => {
    const backend = await serveHttp((_request, response) => response.end("ok"));
    const test = new TestPlane();
    await test.apply(bootstrapYaml([httpListenerYaml("web", "backend")], [clusterYaml("backend", backend.port)]));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const get = (): Promise<{ status: number; code: unknown; isLast: boolean }> =>
      new Promise((resolve, reject) => {
        http
          .get({ port: test.port("web"), host: "127.0.0.1", agent }, (response) => {
            let body = "";
            response.on("data", (bytes: Buffer) => (body += bytes.toString()));
            response.on("end", () => {
              const problem = response.statusCode === 200 ? {} : (JSON.parse(body) as { code?: unknown });
              const isLast = response.headers.connection === "close";
              resolve({ status: response.statusCode ?? 0, code: problem.code, isLast });
            });
          })
          .on("error", reject);
      });
    assert.deepEqual(await get(), { status: 200, code: undefined, isLast: false });
    test.plane.setOverload("refuse");
    assert.deepEqual(await get(), { status: 503, code: "memory_exhausted", isLast: false });
    assert.deepEqual(test.plane.explain.latest(1)[0]?.flags, ["OM"]);
    test.plane.setOverload("shed");
    assert.equal((await get()).isLast, true);
    test.plane.setOverload("normal");
    assert.deepEqual(await get(), { status: 200, code: undefined, isLast: false });
    agent.destroy();
    await test.plane.drain(1000);
    backend.close();
  });
});
