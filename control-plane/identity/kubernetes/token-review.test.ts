import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { makeTokenReviewVerifier, readReview, tokenAudience } from "./token-review.ts";

const uid = "0b5ab2c1-3c0f-4bd5-9f4e-0123456789ab";
const good = {
  authenticated: true,
  audiences: [tokenAudience],
  user: {
    username: "system:serviceaccount:shop:cart",
    extra: { "authentication.kubernetes.io/pod-name": ["cart-1"], "authentication.kubernetes.io/pod-uid": [uid] },
  },
};

function makeToken(claims: object): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2lnbmVk`;
}

function verifierOf(answer: () => unknown) {
  const clock = new FakeClock(1_800_000_000_000);
  const bodies: unknown[] = [];
  const client = {
    request: async ({ body }: { readonly body?: unknown }) => {
      bodies.push(body);
      return { status: await answer() };
    },
  };
  return { clock, bodies, verifier: makeTokenReviewVerifier({ client, trustDomain: "mesh.local", clock }) };
}

test("a token proves its account and its pod, and is asked about each time", async () => {
  const { verifier, bodies } = verifierOf(() => good);
  const token = makeToken({ exp: 1_800_000_100 });
  const proof = await verifier.verify(token);
  assert.equal(proof?.spiffeId, "spiffe://mesh.local/ns/shop/sa/cart");
  assert.deepEqual(proof.pod, { name: "cart-1", uid });
  assert.ok(proof.use(new ArrayBuffer(0)));
  await verifier.verify(token);
  assert.equal(bodies.length, 2);
  const spec = { token, audiences: ["heddle-control-plane"] };
  assert.deepEqual(bodies[0], { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec });
});

test("many who show one token at once are answered by one question", async () => {
  const { verifier, bodies } = verifierOf(() => good);
  const token = makeToken({});
  const proofs = await Promise.all(Array.from({ length: 5 }, () => verifier.verify(token)));
  assert.equal(proofs.length, 5);
  assert.equal(bodies.length, 1);
});

test("a refused token is refused for two seconds without asking, and then asked about again", async () => {
  let answer: object = { authenticated: false, error: "pod has been deleted" };
  const { verifier, bodies, clock } = verifierOf(() => answer);
  const token = makeToken({});
  await assert.rejects(verifier.verify(token), /not good: pod has been deleted/);
  answer = good;
  await assert.rejects(verifier.verify(token), /not good/);
  assert.equal(bodies.length, 1);
  clock.advance(2000);
  assert.ok(await verifier.verify(token));
});

test("an API server that does not answer is nobody's refusal", async () => {
  let isDown = true;
  const { verifier } = verifierOf(() => {
    if (isDown) throw new Error("connection refused");
    return good;
  });
  await assert.rejects(verifier.verify(makeToken({})), /connection refused/);
  isDown = false;
  assert.ok(await verifier.verify(makeToken({})));
});

test("what is no such token, or has ended, is never sent to the API server", async () => {
  const { verifier, bodies } = verifierOf(() => good);
  assert.equal(await verifier.verify("hdl_0123"), undefined);
  await assert.rejects(verifier.verify("a.b.c"), /no JSON Web Token/);
  await assert.rejects(verifier.verify(makeToken({ exp: 1_800_000_000 })), /ended at 2027/);
  await assert.rejects(verifier.verify(makeToken({ filler: "x".repeat(20_000) })), /longer than 16 KiB/);
  assert.equal(bodies.length, 0);
});

test("a good answer about anything else than a pod's account, for us, is a refusal", () => {
  const refused = (change: object, reason: RegExp): void =>
    assert.throws(() => readReview({ status: { ...good, ...change } }), reason);
  refused({ authenticated: undefined }, /not good/);
  refused({ audiences: undefined }, /not for the audience/);
  refused({ audiences: ["https://kubernetes.default.svc"] }, /not for the audience/);
  refused({ user: { ...good.user, username: "system:node:one" } }, /no service account/);
  refused({ user: { ...good.user, username: "system:serviceaccount:shop:cart:more" } }, /no service account/);
  refused({ user: { username: good.user.username } }, /bound to no pod/);
  const pods = { "authentication.kubernetes.io/pod-name": ["a", "b"], "authentication.kubernetes.io/pod-uid": [uid] };
  refused({ user: { ...good.user, extra: pods } }, /bound to no pod/);
  assert.throws(() => readReview(undefined), /not good/);
});
