import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { JoinTokenStore } from "./join-tokens.ts";

const ID = "spiffe://mesh.local/ns/shop/sa/reviews";
const folders: string[] = [];

function makeStore(clock = new FakeClock()): { store: JoinTokenStore; other: JoinTokenStore; folder: string } {
  const folder = mkdtempSync(path.join(tmpdir(), "heddle-tokens-"));
  folders.push(folder);
  return { store: new JoinTokenStore(folder, clock), other: new JoinTokenStore(folder, clock), folder };
}

/** As good as a public key: some bytes. */
function keyOf(number: number): ArrayBuffer {
  return new Uint8Array([number]).buffer;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

test("a join token is good once, even for two control planes at once", () => {
  const { store, other } = makeStore();
  const token = store.issueToken(ID);
  const claims = [store.claim(token), other.claim(token)];
  assert.deepEqual(
    claims.map((claim) => claim.spiffeId),
    [ID, ID],
  );
  assert.deepEqual(
    claims.map((claim, at) => claim.use(keyOf(at))),
    [true, false],
  );
  assert.equal(other.claim(token).use(keyOf(2)), false);
});

test("the key that used a join token may use it again within a minute, for an answer that got lost; no other key may", () => {
  const clock = new FakeClock();
  const { store, other } = makeStore(clock);
  const token = store.issueToken(ID);
  assert.equal(store.claim(token).use(keyOf(1)), true);
  clock.advance(59_999);
  assert.equal(other.claim(token).use(keyOf(2)), false);
  assert.equal(other.claim(token).use(keyOf(1)), true);
  clock.advance(1);
  assert.throws(() => store.claim(token), /was used before/);
});

test("a join token ends when its life does", () => {
  const clock = new FakeClock();
  const { store } = makeStore(clock);
  const token = store.issueToken(ID, 1000);
  clock.advance(999);
  assert.equal(store.claim(token).spiffeId, ID);
  clock.advance(1);
  assert.throws(() => store.claim(token), /expired/);
});

test("a forged join token is unknown", () => {
  const { store } = makeStore();
  store.issueToken(ID);
  assert.throws(() => store.claim(`hdl_${"A".repeat(43)}`), /unknown/);
  assert.throws(() => store.claim("hdl_../../../etc/passwd"), /not one/);
});

test("only the hash of a join token is kept, for its owner alone", () => {
  const { store, folder } = makeStore();
  const token = store.issueToken(ID);
  const [name = ""] = readdirSync(path.join(folder, "tokens"));
  const file = path.join(folder, "tokens", name);
  assert.match(name, /^[0-9a-f]{64}$/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(!readFileSync(file, "utf8").includes(token));
});

test("a join token is bound to a whole SPIFFE id and a sensible life", () => {
  const { store } = makeStore();
  assert.throws(() => store.issueToken("spiffe://mesh.local/reviews"), /is not spiffe/);
  assert.throws(() => store.issueToken(ID, 0), /life/);
  assert.throws(() => store.issueToken(ID, Number.NaN), /life/);
});
