// Projected tokens of service accounts as proof: the API server says whose they are, and that their pods still live.
import { createHash } from "node:crypto";
import { isObject } from "#config/load/values.ts";
import type { Clock } from "#lib/clock.ts";
import type { KubernetesClient } from "../../kubernetes/client.ts";
import { pathOf, type ResourceType } from "../../kubernetes/resource-type.ts";
import { isPodBinding, type PodBinding } from "../pod-binding.ts";
import type { Proof, ProofVerifier } from "../proof.ts";
import { IdentityError } from "../spiffe-id.ts";

/** Whom tokens must be made for: those for the API server, which every pod has, are no proof here. */
export const tokenAudience = "heddle-control-plane";

/** A refused token is refused again without a question for so long: a proxy that tries on must not load the API server. */
const REFUSAL_MS = 2000;
const MOST_REFUSALS = 1000;
/** As long as tokens get; a real one has 1-2 KiB. */
const MOST_CHARACTERS = 16_384;
const FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const USER = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const POD_NAME = "authentication.kubernetes.io/pod-name";
const POD_UID = "authentication.kubernetes.io/pod-uid";

const tokenReviews: ResourceType = {
  group: "authentication.k8s.io",
  versions: ["v1"],
  plural: "tokenreviews",
  kind: "TokenReview",
};

export interface TokenReviewOptions {
  readonly client: Pick<KubernetesClient, "request">;
  readonly trustDomain: string;
  readonly clock: Clock;
}

/**
 * What is found good is never remembered: the API server refuses a token as soon as its pod is deleted, and so do we. Those who
 * show one token at once wait for one answer.
 */
export function makeTokenReviewVerifier({ client, trustDomain, clock }: TokenReviewOptions): ProofVerifier {
  const refusals = new Map<string, { readonly untilMs: number; readonly error: IdentityError }>();
  const asked = new Map<string, Promise<Proof>>();

  const review = async (bearer: string, key: string): Promise<Proof> => {
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token: bearer, audiences: [tokenAudience] },
    };
    const answer = await client.request({ method: "POST", path: pathOf(tokenReviews), body });
    try {
      const { namespace, account, pod } = readReview(answer);
      const spiffeId = `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;
      return { spiffeId, pod, use: () => true };
    } catch (error) {
      if (error instanceof IdentityError) {
        if (refusals.size >= MOST_REFUSALS) refusals.clear();
        refusals.set(key, { untilMs: clock.nowMs() + REFUSAL_MS, error });
      }
      throw error;
    }
  };

  return {
    async verify(bearer) {
      if (!FORM.test(bearer)) return undefined;
      checkOffline(bearer, clock.wallMs());
      const key = createHash("sha256").update(bearer).digest("base64");
      const refused = refusals.get(key);
      if (refused !== undefined && clock.nowMs() < refused.untilMs) throw refused.error;
      refusals.delete(key);
      const open = asked.get(key);
      if (open !== undefined) return open;
      const answer = review(bearer, key).finally(() => asked.delete(key));
      asked.set(key, answer);
      return answer;
    },
  };
}

interface ReviewedToken {
  readonly namespace: string;
  readonly account: string;
  readonly pod: PodBinding;
}

/** Reads a TokenReview's status. @throws {IdentityError} unless it is of a service account, for us, and bound to a pod. */
export function readReview(review: unknown): ReviewedToken {
  const status = fieldOf(review, "status");
  if (fieldOf(status, "authenticated") !== true) {
    const reason = fieldOf(status, "error");
    throw new IdentityError(
      `The service account's token is not good${typeof reason === "string" ? `: ${reason}` : ""}`,
    );
  }
  // An API server that knows no audiences would say "authenticated" of a token for anybody.
  const audiences = fieldOf(status, "audiences");
  if (!Array.isArray(audiences) || !audiences.includes(tokenAudience))
    throw new IdentityError(`The service account's token is not for the audience ${tokenAudience}`);
  const user = fieldOf(status, "user");
  const username = fieldOf(user, "username");
  const [, namespace, account] = USER.exec(typeof username === "string" ? username : "") ?? [];
  if (namespace === undefined || account === undefined)
    throw new IdentityError(`The token is of ${JSON.stringify(username)}, which is no service account`);
  const extra = fieldOf(user, "extra");
  const pod = { name: onlyText(fieldOf(extra, POD_NAME)), uid: onlyText(fieldOf(extra, POD_UID)) };
  if (!isPodBinding(pod)) {
    throw new IdentityError(
      `The token of ${namespace}/${account} is bound to no pod: only projected tokens of pods are taken`,
    );
  }
  return { namespace, account, pod };
}

/** Refuses what need not be asked: the API server would say the same. Nothing is believed for it. */
function checkOffline(bearer: string, nowMs: number): void {
  if (bearer.length > MOST_CHARACTERS) throw new IdentityError("The token is longer than 16 KiB");
  const claims = tryClaims(bearer);
  if (claims === undefined) throw new IdentityError("The token is no JSON Web Token");
  const { exp } = claims;
  if (typeof exp === "number" && exp * 1000 <= nowMs)
    throw new IdentityError(`The service account's token ended at ${new Date(exp * 1000).toISOString()}`);
}

function tryClaims(bearer: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(bearer.split(".")[1] ?? "", "base64url").toString());
    return isObject(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}

/** Extra values are lists. */
function onlyText(value: unknown): string {
  if (!Array.isArray(value) || value.length !== 1) return "";
  const [only]: readonly unknown[] = value;
  return typeof only === "string" ? only : "";
}
