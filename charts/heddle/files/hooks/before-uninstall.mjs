// Before helm uninstall, what its order would get wrong. The webhook goes while the control plane still answers it: Helm removes the
// Service first, and every pod of an injected namespace would be refused until the webhook follows. The CNI plugin leaves the nodes while
// its account may still ask whether it is to leave.
import { readFileSync } from "node:fs";
import https from "node:https";

const account = "/var/run/secrets/kubernetes.io/serviceaccount";
const namespace = readFileSync(`${account}/namespace`, "utf8");

/** Status and body of the API server's answer. */
function ask(method, path) {
  return new Promise((resolve, reject) => {
    const request = https.request({
      host: process.env.KUBERNETES_SERVICE_HOST,
      port: process.env.KUBERNETES_SERVICE_PORT,
      path,
      method,
      agent: false,
      ca: readFileSync(`${account}/ca.crt`),
      headers: { authorization: `Bearer ${readFileSync(`${account}/token`, "utf8")}` },
      timeout: 10_000,
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 10 s")));
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.end();
  });
}

async function remove(path) {
  const { status, text } = await ask("DELETE", path);
  console.log(`DELETE ${path}: ${status}`);
  // Gone already is as good.
  if (status !== 200 && status !== 202 && status !== 404) throw new Error(text);
}

async function countPlugins() {
  const labels = encodeURIComponent("app.kubernetes.io/name=heddle-cni");
  const { status, text } = await ask("GET", `/api/v1/namespaces/${namespace}/pods?labelSelector=${labels}`);
  if (status !== 200) throw new Error(text);
  return JSON.parse(text).items.length;
}

await remove("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/heddle-injector");
if (process.argv.includes("cni")) {
  await remove(`/apis/apps/v1/namespaces/${namespace}/daemonsets/heddle-cni`);
  while ((await countPlugins()) > 0) await new Promise((resolve) => setTimeout(resolve, 300));
  console.log("the CNI plugin has left the nodes");
}
