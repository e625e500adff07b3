// Every case of h2spec against a real listener, in front of a real application: without TLS and with it.
import assert from "node:assert/strict";
import { it } from "node:test";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { startHttpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { runH2spec, type SpecCase, type SpecTarget } from "./h2spec.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

const CASES = 145;
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

for (const [codec, isTls] of [
  ["HTTP2", false],
  ["HTTP2", true],
  // Where HTTP/1 is served too, a broken preface must not be answered in HTTP/1.
  ["AUTO", false],
] as const) {
  it(`a listener for ${codec === "AUTO" ? "any HTTP" : "HTTP/2"} ${isTls ? "with TLS" : "without TLS"} passes h2spec`, async (t) => {
    const app = await startHttpApp();
    atEnd(t, () => app.stop());
    const { chainPem, keyPem } = await (await makeAuthority()).issue({ dns: ["localhost"] });
    const listener = httpListener("in", "app", codec, isTls ? { certificatePem: chainPem, keyPem } : undefined);
    const proxy = await Proxy.start({ listeners: [listener], clusters: [cluster("app", app.port)] });
    atEnd(t, () => proxy.stop());
    const cases = await runAll({ port: proxy.port("in"), isTls }, (message) => t.diagnostic(message));
    assert.equal(cases.length, CASES);
    for (const { id, title, failure } of cases) await t.test(`${id} ${title}`, () => assert.equal(failure, undefined));
  });
}
