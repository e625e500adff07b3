// One question of the API server about a new pod (admission.k8s.io/v1 AdmissionReview), and the answer.
import { isObject } from "#config/load/values.ts";
import { diffJson, formatPointer } from "#lib/json-patch.ts";
import { InjectionError } from "../injector/injection-error.ts";
import { randomHookKey } from "../injector/hook-key.ts";
import { injectPod } from "../injector/inject.ts";
import { parsePod } from "../injector/pod.ts";
import type { InjectionSettings } from "../injector/settings.ts";

interface AdmissionContext {
  readonly settings: InjectionSettings;
  readonly version: string;
}

/** What was decided, for the log and the metrics. */
export interface AdmissionVerdict {
  readonly result: "injected" | "skipped" | "refused";
  readonly namespace: string;
  readonly pod: string;
  readonly isDryRun: boolean;
  /** Why it was skipped or refused. */
  readonly reason: string;
  /** The AdmissionReview to send back. */
  readonly review: object;
}

/** The body is no AdmissionReview of a pod: whoever asks is no API server with our webhook. */
export class NoReviewError extends TypeError {}

/**
 * Whoever is sent here was selected by the webhook's selectors, so the namespace, or the pod itself, has asked. @throws {NoReviewError}
 */
export function admitPod(body: unknown, { settings, version }: AdmissionContext): AdmissionVerdict {
  if (!isObject(body) || body["kind"] !== "AdmissionReview" || body["apiVersion"] !== "admission.k8s.io/v1")
    throw new NoReviewError("the body is no AdmissionReview of admission.k8s.io/v1");
  const request = body["request"];
  if (!isObject(request) || typeof request["uid"] !== "string") throw new NoReviewError("request.uid is missing");
  const { uid, object } = request;
  const namespace = typeof request["namespace"] === "string" ? request["namespace"] : "default";
  const facts = { namespace, pod: podName(object), isDryRun: request["dryRun"] === true };
  try {
    const result = injectPod(parsePod(object), {
      namespace,
      asked: "enabled",
      settings,
      version,
      hookKey: randomHookKey(),
    });
    if (result.kind === "skipped")
      return { ...facts, result: "skipped", reason: result.reason, review: reviewOf({ uid, allowed: true }) };
    const patch = diffJson(object, result.pod).map((one) => ({ ...one, path: formatPointer(one.path) }));
    const response = {
      uid,
      allowed: true,
      patchType: "JSONPatch",
      patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
      ...(result.warnings.length === 0 ? {} : { warnings: result.warnings }),
    };
    return { ...facts, result: "injected", reason: "", review: reviewOf(response) };
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    const message = `Cannot inject the proxy into pod "${namespace}/${facts.pod}": ${error.message}`;
    const status = { status: "Failure", code: 422, reason: "Invalid", message };
    return { ...facts, result: "refused", reason: error.message, review: reviewOf({ uid, allowed: false, status }) };
  }
}

function reviewOf(response: object): object {
  return { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response };
}

/** Before it is made, a pod of a workload has only the beginning of a name. */
function podName(pod: unknown): string {
  const metadata = isObject(pod) && isObject(pod["metadata"]) ? pod["metadata"] : {};
  const { name, generateName } = metadata;
  if (typeof name === "string") return name;
  return typeof generateName === "string" ? `${generateName}*` : "";
}
