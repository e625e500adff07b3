// The webhook over HTTPS, asked as an API server would ask.
import assert from "node:assert/strict";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { applyPatch } from "#lib/testing/apply-patch.ts";
import { WatchedValue } from "#lib/watched.ts";
import { CertificateAuthority } from "../../identity/authority.ts";
import { injectPod } from "../injector/inject.ts";
import { parsePod } from "../injector/pod.ts";
import { defaultInjectionSettings } from "../injector/settings.ts";
import { startWebhookServer, type WebhookCertificate, type WebhookServer } from "./webhook-server.ts";

const version = "1.2.3";
const settings = defaultInjectionSettings(version);
const name = "heddle-control-plane.heddle-system.svc";

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Serial number of the server's certificate. */
  readonly serial: string;
  readonly connection: string | undefined;
}

interface Review {
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly warnings?: readonly string[];
    readonly status?: { readonly code: number; readonly message: string };
  };
}

describe("the injection webhook", () => {
  const stateDir = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-webhook-"));
  const certificate = new WatchedValue<WebhookCertificate | undefined>(undefined);
  const prepared: string[] = [];
  let prepare = async (namespace: string): Promise<void> => void prepared.push(namespace);
  let authority: CertificateAuthority;
  let server: WebhookServer;

  const renew = async (): Promise<void> => {
    const { chainPem, keyPem } = await authority.makeServerCertificate([name], []);
    certificate.set({ cert: chainPem, key: keyPem });
  };

  before(async () => {
    const open = { stateDir, trustDomain: "cluster.local", clock: systemClock, leafLifeMs: 3_600_000 };
    authority = await CertificateAuthority.open(open);
    server = await startWebhookServer({
      address: { address: "127.0.0.1", port: 0 },
      certificate,
      settings,
      version,
      log: silentLog,
      prepareNamespace: (namespace) => prepare(namespace),
    });
    await renew();
  });
  after(async () => {
    await server.close();
    authority.close();
    fs.rmSync(stateDir, { recursive: true });
  });

  function ask(method: string, target: string, body = ""): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { port: server.port, host: "127.0.0.1", servername: name, ca: authority.bundlePem, agent: false };
      let serial = "";
      const headers = { connection: "keep-alive" };
      const request = https.request({ ...options, method, path: target, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text, serial, connection: response.headers.connection }),
        );
      });
      request.on("socket", (socket) =>
        socket.on("secureConnect", () => {
          if ("getPeerCertificate" in socket && typeof socket.getPeerCertificate === "function")
            serial = (socket.getPeerCertificate() as { serialNumber: string }).serialNumber; // node:tls
        }),
      );
      request.on("error", reject);
      request.end(body);
    });
  }

  async function review(object: unknown, more: object = {}): Promise<Review["response"]> {
    const request = { uid: "u-1", namespace: "shop", operation: "CREATE", object, ...more };
    const body = { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request };
    const { status, text, connection } = await ask("POST", "/inject", JSON.stringify(body));
    assert.equal(status, 200);
    assert.equal(connection, "close", "the API server must not stay with one replica");
    const { response } = JSON.parse(text) as Review; // what it answered is checked below
    assert.equal(response.uid, "u-1");
    return response;
  }

  const pod = { metadata: { generateName: "cart-" }, spec: { containers: [{ name: "app", image: "app" }] } };

  it("patches a pod to what the injector makes of it, after its namespace was prepared", async () => {
    prepared.length = 0;
    const { allowed, patch = "" } = await review(pod);
    assert.equal(allowed, true);
    const operations = JSON.parse(Buffer.from(patch, "base64").toString()) as {
      op: "add";
      path: string;
      value: unknown;
    }[];
    const split = operations.map((one) => ({ ...one, path: steps(one.path) }));
    const wanted = injectPod(parsePod(pod), { namespace: "shop", asked: "enabled", settings, version });
    assert.deepEqual(applyPatch(pod, split), wanted.kind === "injected" && wanted.pod);
    assert.deepEqual(prepared, ["shop"]);
  });

  it("has no side effect when the run is dry", async () => {
    prepared.length = 0;
    assert.ok((await review(pod, { dryRun: true })).patch);
    assert.deepEqual(prepared, []);
  });

  it("admits a pod though its namespace could not be prepared", async () => {
    const whole = prepare;
    prepare = async () => {
      throw new Error("no API server");
    };
    assert.ok((await review(pod)).patch);
    prepare = whole;
  });

  it("lets pods that it skips through as they are", async () => {
    const response = await review({ ...pod, spec: { ...pod.spec, hostNetwork: true } });
    assert.deepEqual(response, { uid: "u-1", allowed: true });
  });

  it("refuses a pod with the field and what would be right, and warns of misspelt annotations", async () => {
    const annotate = (annotations: object) => ({ ...pod, metadata: { ...pod.metadata, annotations } });
    const { allowed, status } = await review(annotate({ "heddle.dev/proxy-cpu-limit": "5 cpus" }));
    assert.equal(allowed, false);
    assert.equal(status?.code, 422);
    assert.equal(
      status?.message,
      'Cannot inject the proxy into pod "shop/cart-*": metadata.annotations["heddle.dev/proxy-cpu-limit"] must be a quantity: got "5 cpus" (write it as 500m, 64Ki or 1Gi)',
    );
    assert.match(
      (await review(annotate({ "heddle.dev/proxy-imag": "x" }))).warnings?.[0] ?? "",
      /did you mean heddle\.dev\/proxy-image/,
    );
  });

  it("answers what is no review of a pod without ending", async () => {
    for (const [method, target, body, status] of [
      ["POST", "/inject", "{", 400],
      ["POST", "/inject", '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}', 400],
      ["POST", "/inject", '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}', 400],
      ["POST", "/inject", `"${"x".repeat(5_000_000)}"`, 413],
      ["GET", "/inject", "", 405],
      ["GET", "/elsewhere", "", 404],
      ["GET", "/ready", "", 200],
    ] as const) {
      // One after the other: the first that ends the server must be the one that is named.
      // oxlint-disable-next-line no-await-in-loop
      assert.equal((await ask(method, target, body)).status, status, `${method} ${target} ${body.slice(0, 80)}`);
    }
    assert.equal((await review({})).allowed, false);
  });

  it("serves new connections with a renewed certificate", async () => {
    const { serial } = await ask("GET", "/ready");
    await renew();
    const next = await ask("GET", "/ready");
    assert.notEqual(next.serial, serial);
    assert.equal(next.status, 200);
  });
});

function steps(pointer: string): readonly (string | number)[] {
  return pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}
