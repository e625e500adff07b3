// `helm test`: asks the installed mesh from inside the cluster, over its Service, what sidecars and the API server ask it. One line per check.
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import tls from "node:tls";

const host = process.env.HEDDLE_HOST ?? "";
const account = "/var/run/secrets/kubernetes.io/serviceaccount";
const timeout = 10_000;

/** One request: its status and its body. */
function ask(module, options, body) {
  return new Promise((resolve, reject) => {
    const request = module.request({ timeout, agent: false, ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode, text }));
    });
    request.on("timeout", () => request.destroy(new Error(`no answer in ${timeout} ms`)));
    request.on("error", reject);
    request.end(body);
  });
}

function expect(found, wanted, what) {
  if (found !== wanted) throw new Error(`expected ${what} ${wanted}, found ${found}`);
}

async function isReady() {
  const { status, text } = await ask(http, { host, port: 15014, path: "/ready" });
  expect(status, 200, `GET http://${host}:15014/ready to answer`);
  return text.trim().replaceAll(/\s+/g, " ");
}

/** The bundle by which the API server knows the webhook: written by the leader. */
async function bundle() {
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?fieldSelector=metadata.name=heddle-injector";
  const { status, text } = await ask(https, {
    host: process.env.KUBERNETES_SERVICE_HOST,
    port: process.env.KUBERNETES_SERVICE_PORT,
    path,
    ca: readFileSync(`${account}/ca.crt`),
    headers: { authorization: `Bearer ${readFileSync(`${account}/token`, "utf8")}` },
  });
  expect(status, 200, `GET ${path} to answer`);
  const [configuration] = JSON.parse(text).items;
  if (configuration === undefined) throw new Error("there is no MutatingWebhookConfiguration heddle-injector");
  const bundles = configuration.webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? "");
  if (bundles.includes("")) throw new Error("the webhook has no caBundle: no replica leads, or it may not write it");
  expect(new Set(bundles).size, 1, "webhooks to have the same caBundle, different ones:");
  return Buffer.from(bundles[0], "base64");
}

async function speaksXds(ca) {
  return await new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port: 15012, servername: host, ca, ALPNProtocols: ["h2"], timeout });
    socket.on("error", reject);
    socket.on("timeout", () => socket.destroy(new Error(`no handshake in ${timeout} ms`)));
    socket.on("secureConnect", () => {
      const { alpnProtocol } = socket;
      const protocol = socket.getProtocol();
      const name = socket.getPeerCertificate().subjectaltname;
      socket.destroy();
      if (alpnProtocol === "h2") resolve(`${protocol}, h2, ${name}`);
      else reject(new Error(`expected ALPN h2, found ${alpnProtocol}`));
    });
  });
}

/** In a namespace that is not ours, whose own pods are never injected. */
async function injects(ca) {
  const namespace = "default";
  const object = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "helm-test", namespace, labels: { "heddle.dev/inject": "enabled" } },
    spec: { serviceAccountName: "default", containers: [{ name: "app", image: "app" }] },
  };
  const review = {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: "helm-test",
      kind: { group: "", version: "v1", kind: "Pod" },
      resource: { group: "", version: "v1", resource: "pods" },
      operation: "CREATE",
      name: "helm-test",
      namespace,
      userInfo: {},
      dryRun: true,
      object,
    },
  };
  const headers = { "content-type": "application/json" };
  const options = { host, port: 443, servername: host, ca, path: "/inject", method: "POST", headers };
  const { status, text } = await ask(https, options, JSON.stringify(review));
  expect(status, 200, `POST https://${host}:443/inject to answer`);
  const { response } = JSON.parse(text);
  expect(response.uid, "helm-test", "the review's uid");
  expect(response.allowed, true, "the pod to be allowed:");
  const patch = Buffer.from(response.patch ?? "", "base64").toString("utf8");
  if (!patch.includes("heddle-proxy")) throw new Error(`the pod got no sidecar: ${patch || "no patch"}`);
  return `a patch of ${patch.length} bytes`;
}

/** Asks until it is so, for a minute: right after an installation the leader may still be elected, and Services be made known. */
async function check(name, ask) {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      console.log(`ok ${name}: ${await ask()}`);
      return;
    } catch (error) {
      if (Date.now() > until) {
        console.log(`not ok ${name}: ${error.message}`);
        process.exit(1);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

let ca;
await check("a replica is ready", isReady);
await check("the webhook's bundle is written", async () => {
  ca = await bundle();
  return `${ca.length} bytes`;
});
await check("xDS answers with a certificate of the mesh", () => speaksXds(ca));
await check("the webhook gives a pod its sidecar", () => injects(ca));
