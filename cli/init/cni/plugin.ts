// What the CNI plugin does for one request of the runtime. Pods that are not injected always pass: where nobody can say whether
// one is, it passes too, and `verify` in the injected ones keeps them from starting unprotected.
import { describeError } from "#lib/errors.ts";
import type { Interception } from "../interception.ts";
import { parseAnnotations } from "../settings.ts";
import type { Annotations } from "./pod-metadata.ts";
import {
  CniError,
  cniCodes,
  formatResult,
  formatVersions,
  isFields,
  networkNamespaceOf,
  parseConfig,
  tryPodRef,
  type PluginConfig,
  type PodRef,
} from "./protocol.ts";

/** What the plugin does to the outside. */
export interface PluginHost {
  readonly env: Readonly<Record<string, string | undefined>>;
  getAnnotations(config: PluginConfig, pod: PodRef): Promise<Annotations | undefined>;
  /** Writes the rules into the network namespace; a line for each family. */
  apply(networkNamespace: string, wanted: Interception): Promise<readonly string[]>;
  /** What is missing of them; undefined: nothing. */
  findMissing(networkNamespace: string, wanted: Interception): Promise<string | undefined>;
  log(config: PluginConfig, line: string): void;
}

/** How often the API server is asked before the pod passes unasked, and how long between. */
const ATTEMPTS = 3;
const PAUSE_MS = 300;

/** What goes to standard output. Rejects with a CniError. */
export async function runPlugin(input: string, host: PluginHost): Promise<string> {
  const command = host.env["CNI_COMMAND"] ?? "";
  switch (command) {
    case "VERSION":
      return formatVersions();
    // The rules go with the namespace; and a pod must be able to end whatever has become of this plugin.
    case "DEL":
    case "GC":
    case "STATUS":
      return "";
    case "ADD":
      return add(parseConfig(input), host);
    case "CHECK":
      return check(parseConfig(input), host);
    default:
      throw new CniError(
        cniCodes.invalidEnvironment,
        `CNI_COMMAND "${command}" is not ADD, CHECK, DEL, GC, STATUS or VERSION`,
      );
  }
}

async function add(config: PluginConfig, host: PluginHost): Promise<string> {
  if (config.prevResult === undefined)
    throw new CniError(
      cniCodes.invalidConfiguration,
      "heddle-cni must stand behind another plugin: there is no prevResult",
    );
  const wanted = await findWanted(config, host);
  if (wanted !== undefined) {
    const file = networkNamespaceOf(host.env);
    try {
      for (const line of await host.apply(file, wanted)) host.log(config, `${podName(host)}: ${line}`);
    } catch (error) {
      const message = `Cannot redirect the connections of pod ${podName(host)}: ${describeError(error)}`;
      host.log(config, message);
      throw new CniError(cniCodes.notRedirected, message, { cause: error });
    }
  }
  return formatResult(config);
}

async function check(config: PluginConfig, host: PluginHost): Promise<string> {
  const wanted = await findWanted(config, host);
  if (wanted === undefined) return "";
  const missing = await host.findMissing(networkNamespaceOf(host.env), wanted);
  if (missing === undefined) return "";
  throw new CniError(cniCodes.notRedirected, `The connections of pod ${podName(host)} are not redirected: ${missing}`);
}

function podName(host: PluginHost): string {
  const pod = tryPodRef(host.env);
  return pod === undefined ? "(none)" : `${pod.namespace}/${pod.name}`;
}

/** Undefined: the pod is none of ours. @throws {CniError} for settings of an injected pod that cannot be. */
async function findWanted(config: PluginConfig, host: PluginHost): Promise<Interception | undefined> {
  const pod = tryPodRef(host.env);
  if (pod === undefined) return undefined;
  const annotations = await askPatiently(config, host, pod);
  const sidecar = annotations === undefined ? undefined : trySidecar(annotations);
  if (annotations === undefined || sidecar?.["interception"] !== "cni") return undefined;
  const ports = { "outbound-port": sidecar["outboundPort"], "inbound-port": sidecar["inboundPort"] };
  const presets = { ...config.presets };
  for (const [name, port] of Object.entries(ports)) if (typeof port === "number") presets[name] = String(port);
  try {
    return parseAnnotations(annotations, presets);
  } catch (error) {
    throw new CniError(cniCodes.notRedirected, `Pod ${podName(host)}: ${describeError(error)}`, { cause: error });
  }
}

async function askPatiently(config: PluginConfig, host: PluginHost, pod: PodRef): Promise<Annotations | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await host.getAnnotations(config, pod);
    } catch (error) {
      if (attempt === ATTEMPTS) {
        host.log(
          config,
          `${podName(host)}: not redirected, since nobody says whether it should be: ${describeError(error)}`,
        );
        return undefined;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** What the injector has written; undefined: nothing, or not that. */
function trySidecar(annotations: Annotations): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(annotations["heddle.dev/sidecar"] ?? "") as unknown;
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
