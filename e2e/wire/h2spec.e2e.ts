// Every case of h2spec against a real listener, in front of a real application: without TLS, with it, and out of a mesh.
import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { startHttpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { runH2spec, type SpecCase, type SpecTarget } from "./h2spec.ts";
import { startMeshPair } from "./mesh-pair.ts";
import { cluster, type CodecType, httpListener, Proxy, type TlsFiles } from "./proxy.ts";

/** Strict ones included: 145 and one SHOULD. */
const CASES = 146;
/** h2spec waits 2 s for each answer, and on a busy machine that is not always enough: a failed case is run alone again. */
const RERUNS = 3;

async function runAll(target: SpecTarget, say: (message: string) => void): Promise<readonly SpecCase[]> {
  const results = new Map((await runH2spec(target)).map((one) => [one.id, one]));
  for (let run = 1; run <= RERUNS; run++) {
    const failed = [...results.values()].filter(({ failure }) => failure !== undefined);
    for (const { id, title } of failed) {
      say(`rerun ${run} of ${RERUNS}: ${id} ${title}`);
      for (const one of await runH2spec(target, [id])) if (one.title === title) results.set(id, { ...one, id });
    }
  }
  return [...results.values()];
}

/** Starts what the suite runs against, in front of an application. */
type Start = (t: TestContext, app: number) => Promise<SpecTarget>;

async function startListener(
  t: TestContext,
  app: number,
  codec: CodecType = "HTTP2",
  tls?: TlsFiles,
): Promise<SpecTarget> {
  const proxy = await Proxy.start({
    listeners: [httpListener("in", "app", codec, tls)],
    clusters: [cluster("app", app)],
  });
  atEnd(t, () => proxy.stop());
  return { port: proxy.port("in"), isTls: tls !== undefined };
}

const TARGETS: Readonly<Record<string, Start>> = {
  "a listener for HTTP/2": (t, app) => startListener(t, app),
  // Where HTTP/1 is served too, a broken preface must not be answered in HTTP/1.
  "a listener for any HTTP": (t, app) => startListener(t, app, "AUTO"),
  async "a listener with TLS"(t, app) {
    const { chainPem, keyPem } = await (await makeAuthority()).issue({ dns: ["localhost"] });
    return startListener(t, app, "HTTP2", { certificatePem: chainPem, keyPem });
  },
  async "an outbound listener in front of a mesh peer"(t, app) {
    return { port: (await startMeshPair(t, app, "http1")).port, isTls: false };
  },
};

for (const [name, start] of Object.entries(TARGETS)) {
  it(`${name} passes h2spec`, async (t) => {
    const app = await startHttpApp();
    atEnd(t, () => app.stop());
    const cases = await runAll(await start(t, app.port), (message) => t.diagnostic(message));
    assert.equal(cases.length, CASES);
    for (const { id, title, failure } of cases) await t.test(`${id} ${title}`, () => assert.equal(failure, undefined));
  });
}
