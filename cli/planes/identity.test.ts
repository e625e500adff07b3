// Both planes' identity, over a real TLS connection on loopback: this is the one folder that may look into both.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test, type TestContext } from "node:test";
import { CertificateAuthority } from "#control-plane/identity/authority.ts";
import { addCertificateService } from "#control-plane/identity/certificate-service.ts";
import { JoinTokenStore } from "#control-plane/identity/join-tokens.ts";
import { makeJoinTokenVerifier, type ProofVerifier } from "#control-plane/identity/proof.ts";
import { startSecureServer } from "#control-plane/identity/secure-server.ts";
import { makeOddCsr } from "#control-plane/identity/testing/make-csr.ts";
import { systemClock, type Clock } from "#lib/clock.ts";
import { silentLog, type Log, type LogFields } from "#lib/log.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { makeKeyAndRequest } from "#proxy/identity/certificate-request.ts";
import type { IdentityMaterial } from "#proxy/identity/material.ts";
import { makeGrpcSigner, type Sign, type SigningProof } from "#proxy/identity/signing-client.ts";
import { WorkloadIdentity } from "#proxy/identity/workload-identity.ts";

const ID = "spiffe://mesh.local/ns/shop/sa/reviews";
const HOUR_MS = 3_600_000;
const folders: string[] = [];

function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "heddle-identity-"));
  folders.push(folder);
  return folder;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

interface ControlPlane {
  readonly authority: CertificateAuthority;
  readonly tokens: JoinTokenStore;
  readonly sign: Sign;
  readonly rootsFile: string;
  readonly port: number;
}

/** As the API server would answer for the token of one pod. */
const podTokens: ProofVerifier = {
  verify: async (bearer) => {
    const pod = { name: "reviews-1", uid: "0b5ab2c1-3c0f-4bd5-9f4e-0123456789ab" };
    return bearer === "pod.token.1" ? { spiffeId: ID, pod, use: () => true } : undefined;
  },
};

async function startControlPlane(context: TestContext): Promise<ControlPlane> {
  const stateDir = makeFolder();
  const authority = await CertificateAuthority.open({ stateDir, trustDomain: "mesh.local", clock: systemClock });
  const tokens = new JoinTokenStore(stateDir, systemClock);
  const server = await startSecureServer({
    address: { address: "127.0.0.1", port: 0 },
    authority,
    clock: systemClock,
    log: silentLog,
    register: (grpc) => {
      const verifiers = [makeJoinTokenVerifier(tokens), podTokens];
      addCertificateService(grpc, { authority, verifiers, clock: systemClock, log: silentLog });
    },
  });
  context.after(() => server.close(0));
  const sign = makeGrpcSigner({ address: "127.0.0.1", port: server.port });
  return { authority, tokens, sign, rootsFile: path.join(stateDir, "roots.pem"), port: server.port };
}

async function askFor(plane: ControlPlane, proof: SigningProof, spiffeId = ID): Promise<X509Certificate> {
  const { csrPem } = makeKeyAndRequest(spiffeId);
  const answer = await plane.sign({ csrPem, proof, rootsPem: plane.authority.bundlePem });
  return new X509Certificate(answer.chainPem);
}

test("a join token gets one certificate; again, forged, for another or without, none", async (context) => {
  const plane = await startControlPlane(context);
  const token = plane.tokens.issueToken(ID);
  const other = "spiffe://mesh.local/ns/shop/sa/payments";
  await assert.rejects(askFor(plane, { kind: "token", token }, other), /asks for .*payments/);
  const leaf = await askFor(plane, { kind: "token", token });
  assert.equal(leaf.subjectAltName, `URI:${ID}`);
  await assert.rejects(askFor(plane, { kind: "token", token }), /used before/);
  await assert.rejects(askFor(plane, { kind: "token", token: `hdl_${"x".repeat(43)}` }), /unknown/);
  await assert.rejects(askFor(plane, { kind: "token", token: "a.b.c" }), /no kind/);
});

test("an answer that got lost is asked for again with the same key and token; with another key there is none", async (context) => {
  const plane = await startControlPlane(context);
  const token = plane.tokens.issueToken(ID);
  const { csrPem } = makeKeyAndRequest(ID);
  const request = { csrPem, proof: { kind: "token", token }, rootsPem: plane.authority.bundlePem } as const;
  const first = new X509Certificate((await plane.sign(request)).chainPem);
  const second = new X509Certificate((await plane.sign(request)).chainPem);
  assert.deepEqual(second.publicKey.export({ format: "jwk" }), first.publicKey.export({ format: "jwk" }));
  await assert.rejects(askFor(plane, { kind: "token", token }), /used before/);
});

test("of many that use one join token at once, one succeeds", async (context) => {
  const plane = await startControlPlane(context);
  const token = plane.tokens.issueToken(ID);
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => askFor(plane, { kind: "token", token })));
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
});

test("a certificate is renewed with itself, for its own identity only", async (context) => {
  const plane = await startControlPlane(context);
  const { keyPem, csrPem } = makeKeyAndRequest(ID);
  const token = plane.tokens.issueToken(ID);
  const rootsPem = plane.authority.bundlePem;
  const { chainPem } = await plane.sign({ csrPem, proof: { kind: "token", token }, rootsPem });
  const proof = { kind: "certificate", certificate: { keyPem, chainPem } } as const;
  assert.equal((await askFor(plane, proof)).subjectAltName, `URI:${ID}`);
  await assert.rejects(askFor(plane, proof, "spiffe://mesh.local/ns/shop/sa/payments"), /asks for/);
});

test("the certificate of a pod is bound to it, and renewed with the pod's token alone", async (context) => {
  const plane = await startControlPlane(context);
  const { keyPem, csrPem } = makeKeyAndRequest(ID);
  const rootsPem = plane.authority.bundlePem;
  const { chainPem } = await plane.sign({ csrPem, proof: { kind: "token", token: "pod.token.1" }, rootsPem });
  assert.match(new X509Certificate(chainPem).subject, /^serialNumber=0b5ab2c1-.*\nUID=reviews-1$/);
  const proof = { kind: "certificate", certificate: { keyPem, chainPem } } as const;
  await assert.rejects(askFor(plane, proof), /renewed with its token alone/);
  await assert.rejects(askFor(plane, { kind: "token", token: "pod.token.1" }, `${ID}s`), /asks for/);
});

test("a request whose names cannot be quoted is refused, and the control plane lives on", async (context) => {
  const plane = await startControlPlane(context);
  const proof = { kind: "token", token: "pod.token.1" } as const;
  // A directory name, CN as a BMPString of half a surrogate pair.
  const csrPem = await makeOddCsr(Uint8Array.from(Buffer.from("3013a411300f310d300b06035504031e04d8000041", "hex")));
  const rootsPem = plane.authority.bundlePem;
  await assert.rejects(plane.sign({ csrPem, proof, rootsPem }), /may name a SPIFFE id alone: got dn/);
  assert.equal((await askFor(plane, proof)).subjectAltName, `URI:${ID}`);
});

test("a certificate of another authority with the same name is nobody's", async (context) => {
  const plane = await startControlPlane(context);
  const forger = await CertificateAuthority.open({
    stateDir: makeFolder(),
    trustDomain: "mesh.local",
    clock: systemClock,
  });
  const { keyPem, csrPem } = makeKeyAndRequest(ID);
  const { chainPem } = await forger.signWorkloadPem(csrPem, ID);
  const proof = { kind: "certificate", certificate: { keyPem, chainPem } } as const;
  await assert.rejects(askFor(plane, proof), /Neither a token nor a client certificate/);
});

test("a control plane under another root than the pinned one gets no token", async (context) => {
  const plane = await startControlPlane(context);
  const other = await startControlPlane(context);
  const token = plane.tokens.issueToken(ID);
  const { csrPem } = makeKeyAndRequest(ID);
  const rootsPem = other.authority.bundlePem;
  await assert.rejects(plane.sign({ csrPem, proof: { kind: "token", token }, rootsPem }), /Cannot get a certificate/);
  assert.equal(plane.tokens.claim(token).use(new ArrayBuffer(1)), true);
});

interface Workload {
  readonly identity: WorkloadIdentity;
  readonly stateDir: string;
  readonly tokenFile: string;
  /** How each certificate was asked for. */
  readonly proofs: string[];
}

/** A proxy's identity whose authority answers without a network, so that both live by one clock that tests move. */
async function makeWorkload(
  clock: FakeClock,
  sign?: Sign,
  stateDir = makeFolder(),
  authorityDir = makeFolder(),
  log: Log = silentLog,
  renewWith: "certificate" | "token" = "certificate",
): Promise<Workload & { readonly restart: () => Promise<Workload> }> {
  const authority = await CertificateAuthority.open({ stateDir: authorityDir, trustDomain: "mesh.local", clock });
  const proofs: string[] = [];
  const tokenFile = path.join(stateDir, "token");
  writeFileSync(tokenFile, "token\n");
  const identity = new WorkloadIdentity({
    settings: {
      address: { address: "127.0.0.1", port: 1 },
      rootsFile: path.join(authorityDir, "roots.pem"),
      tokenFile,
      renewWith,
      spiffeId: ID,
      certificateName: "default",
      bundleName: "ROOTCA",
    },
    stateDir,
    sign: async (request) => {
      proofs.push(request.proof.kind);
      return sign === undefined ? authority.signWorkloadPem(request.csrPem, ID) : sign(request);
    },
    clock,
    random: makeSeededRandom(1),
    log,
  });
  const restart = async (): Promise<Workload> => makeWorkload(clock, sign, stateDir, authorityDir);
  return { identity, stateDir, tokenFile, proofs, restart };
}

/** Lets everything else run until it is so. @throws {Error} after 20 s. */
async function untilTurned(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!holds()) {
    await new Promise(setImmediate);
    if (performance.now() > end) throw new Error(`not within 20 s: ${holds.toString()}`);
  }
}

/** Waits for the next change of the material. */
async function nextMaterial(identity: WorkloadIdentity): Promise<IdentityMaterial | undefined> {
  const before = identity.material.current;
  return new Promise((resolve) => {
    let stop: (() => void) | undefined;
    stop = identity.material.subscribe((material) => {
      if (material === before) return;
      stop?.();
      resolve(material);
    });
  });
}

test("an identity is joined with the token, then renewed by itself before half of its life is over", async () => {
  const clock = new FakeClock(Date.now());
  const { identity, proofs } = await makeWorkload(clock);
  const joined = nextMaterial(identity);
  identity.start();
  const first = await joined;
  assert.equal(first?.generation, 1);
  // Let `onSigned` set the timer of the renewal.
  await new Promise(setImmediate);
  clock.advance(10 * HOUR_MS);
  assert.equal(identity.material.current, first);
  const renewed = nextMaterial(identity);
  clock.advance(2 * HOUR_MS);
  const second = await renewed;
  assert.deepEqual(proofs, ["token", "certificate"]);
  assert.equal(second?.generation, 2);
  assert.notEqual(second?.certificate.keyPem, first?.certificate.keyPem);
  identity.close();
});

test("an identity that is renewed with the token shows what its file holds then, and pins the roots of its file too", async () => {
  const clock = new FakeClock(Date.now());
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const authorityDir = makeFolder();
  const shown: string[] = [];
  const sign: Sign = async ({ csrPem, proof, rootsPem }) => {
    shown.push(proof.kind === "token" ? proof.token : "certificate", rootsPem);
    return authority.signWorkloadPem(csrPem, ID);
  };
  const workload = await makeWorkload(clock, sign, makeFolder(), authorityDir, silentLog, "token");
  const { identity, tokenFile } = workload;
  const joined = nextMaterial(identity);
  identity.start();
  await joined;
  await new Promise(setImmediate);
  const stranger = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const both = authority.bundlePem + stranger.bundlePem;
  writeFileSync(path.join(authorityDir, "roots.pem"), both);
  writeFileSync(tokenFile, "projected anew\n");
  clock.advance(60_000);
  assert.equal(identity.material.current?.bundlePem, both, "roots are taken without a new certificate");
  const renewed = nextMaterial(identity);
  clock.advance(12 * HOUR_MS);
  await renewed;
  assert.deepEqual([shown[0], shown[2]], ["token", "projected anew"]);
  assert.ok(shown[3]?.includes(stranger.bundlePem.trim()));
  identity.close();
});

test("an identity survives a restart without a token, 0600, and a damaged file is ignored", async () => {
  const clock = new FakeClock(Date.now());
  const workload = await makeWorkload(clock);
  const joined = nextMaterial(workload.identity);
  workload.identity.start();
  const material = await joined;
  await new Promise(setImmediate);
  workload.identity.close();
  const file = path.join(workload.stateDir, "identity.json");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const again = await workload.restart();
  assert.equal(again.identity.material.current?.certificate.keyPem, material?.certificate.keyPem);
  writeFileSync(file, readFileSync(file, "utf8").replace("BEGIN CERT", "BEGIN CURT"));
  const damaged = await workload.restart();
  assert.equal(damaged.identity.material.current, undefined);
  assert.ok(existsSync(file));
});

test("an identity that cannot be renewed tries on, and fails closed when its certificate ends", async () => {
  const clock: FakeClock & Clock = new FakeClock(Date.now());
  let isDown = false;
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const { identity } = await makeWorkload(clock, async ({ csrPem }) => {
    if (isDown) throw new Error("down");
    return authority.signWorkloadPem(csrPem, ID);
  });
  const joined = nextMaterial(identity);
  identity.start();
  await joined;
  await new Promise(setImmediate);
  isDown = true;
  const ended = nextMaterial(identity);
  clock.advance(12 * HOUR_MS);
  for (let tries = 0; identity.status.failures < 3 && tries < 1000; tries++) {
    // Keys are made by other threads: they need time, not turns.
    await new Promise((resolve) => setTimeout(resolve, 1));
    clock.advance(2000);
  }
  assert.ok(identity.status.failures >= 3);
  assert.notEqual(identity.material.current, undefined);
  clock.advance(13 * HOUR_MS);
  assert.equal(await ended, undefined);
  assert.equal(identity.status.secondsToExpiry, undefined);
  identity.close();
});

test("a proxy whose answer got lost joins at its next try, with the same key", async () => {
  const clock = new FakeClock(Date.now());
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const requests: string[] = [];
  const { identity } = await makeWorkload(clock, async ({ csrPem }) => {
    requests.push(csrPem);
    if (requests.length === 1) throw new Error("the connection broke");
    return authority.signWorkloadPem(csrPem, ID);
  });
  const joined = nextMaterial(identity);
  identity.start();
  while (identity.status.failures === 0) await new Promise(setImmediate);
  clock.advance(2000);
  assert.equal((await joined)?.generation, 1);
  assert.equal(requests[0], requests[1]);
  identity.close();
});

test("a proxy whose control plane has no name in DNS yet asks DNS once at a time, and joins as soon as it answers", async (context) => {
  const plane = await startControlPlane(context);
  const token = plane.tokens.issueToken(ID);
  const lookUps: PromiseWithResolvers<void>[] = [];
  const sign = makeGrpcSigner({ address: "localhost", port: plane.port }, (host) => {
    assert.equal(host, "localhost");
    const lookUp = Promise.withResolvers<void>();
    lookUps.push(lookUp);
    return lookUp.promise;
  });
  const clock = new FakeClock(Date.now());
  const { identity, tokenFile } = await makeWorkload(clock, sign, makeFolder(), path.dirname(plane.rootsFile));
  writeFileSync(tokenFile, token);
  const joined = nextMaterial(identity);
  identity.start();
  await untilTurned(() => lookUps.length === 1);
  lookUps[0]?.reject(new Error("getaddrinfo EAI_AGAIN"));
  await untilTurned(() => identity.status.failures === 1);
  assert.match(identity.status.lastError ?? "", /Cannot get a certificate from localhost:\d+: getaddrinfo EAI_AGAIN/);
  clock.advance(2000);
  await untilTurned(() => lookUps.length === 2);
  clock.advance(300_000);
  await new Promise(setImmediate);
  assert.equal(lookUps.length, 2, "who waits for DNS does not ask again");
  lookUps[1]?.resolve();
  assert.equal((await joined)?.generation, 1);
  identity.close();
});

test("a proxy without a certificate asks for one every ten seconds or so, however long it had none", async () => {
  const clock = new FakeClock(Date.now());
  const { identity } = await makeWorkload(clock, async () => {
    throw new Error("down");
  });
  identity.start();
  for (let failures = 1; failures <= 12; failures++) {
    await untilTurned(() => identity.status.failures === failures);
    clock.advance(10_500);
  }
  identity.close();
});

test("a certificate that is not renewed is called out at half, a quarter and a tenth of its life", async () => {
  const clock = new FakeClock(Date.now());
  const alarms: string[] = [];
  const note = (level: string) => (message: string, fields?: LogFields) => {
    if (message === "certificate not renewed in time") alarms.push(`${level} ${String(fields?.["percentLeft"])}`);
  };
  const log: Log = {
    debug: note("debug"),
    info: note("info"),
    warn: note("warn"),
    error: note("error"),
    with: () => log,
  };
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  let signed = 0;
  const sign: Sign = async ({ csrPem }) => {
    if (signed++ > 0) throw new Error("down");
    return authority.signWorkloadPem(csrPem, ID);
  };
  const { identity } = await makeWorkload(clock, sign, undefined, undefined, log);
  const joined = nextMaterial(identity);
  identity.start();
  await joined;
  await new Promise(setImmediate);
  const seen: string[][] = [];
  for (const hours of [11, 2, 6, 3]) {
    clock.advance(hours * HOUR_MS);
    seen.push([...alarms]);
    // The failure of the try that the time brought.
    const failures = identity.status.failures;
    for (let turn = 0; turn < 1000 && identity.status.failures === failures; turn++) await new Promise(setImmediate);
  }
  assert.deepEqual(seen.at(0), []);
  assert.deepEqual(seen.at(1), ["warn 50"]);
  assert.deepEqual(seen.at(2), ["warn 50", "error 25"]);
  assert.deepEqual(seen.at(3), ["warn 50", "error 25", "error 10"]);
  identity.close();
});

test("roots that change between two signings are taken and kept; those that our certificate is not under are not", async () => {
  const clock = new FakeClock(Date.now());
  const workload = await makeWorkload(clock);
  const { identity } = workload;
  const joined = nextMaterial(identity);
  identity.start();
  const before = await joined;
  assert.ok(before);
  const stranger = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  identity.takeBundle(stranger.bundlePem);
  assert.equal(identity.material.current, before);
  const both = before.bundlePem + stranger.bundlePem;
  identity.takeBundle(both);
  assert.equal(identity.material.current?.bundlePem, both);
  assert.equal(identity.material.current.certificate, before.certificate);
  assert.ok(identity.material.current.generation > before.generation);
  identity.close();
  assert.equal((await workload.restart()).identity.material.current?.bundlePem, both);
});

test("an answer for another key or under no root is not taken", async () => {
  const clock = new FakeClock(Date.now());
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const stranger = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const { bundlePem } = stranger;
  const wrong: readonly [RegExp, Sign][] = [
    [/another key/, async () => authority.signWorkloadPem(makeKeyAndRequest(ID).csrPem, ID)],
    [/to a root/, async ({ csrPem }) => ({ ...(await authority.signWorkloadPem(csrPem, ID)), bundlePem })],
  ];
  for (const [expected, sign] of wrong) {
    const { identity } = await makeWorkload(clock, sign);
    identity.start();
    while (identity.status.failures === 0) await new Promise(setImmediate);
    assert.equal(identity.material.current, undefined);
    assert.match(identity.status.lastError ?? "", expected);
    identity.close();
  }
});
