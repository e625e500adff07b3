// The mesh's identity in a cluster, as one part of the control plane: authority from its Secret, tokens as proof, roots where pods
// pin them, the webhooks' certificate and whom the API server trusts behind it.
import { CONTROL_PLANE_NAME } from "#config/bootstrap/sidecar-bootstrap.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Watched } from "#lib/watched.ts";
import type { KubernetesClient } from "../../kubernetes/client.ts";
import { CertificateAuthority } from "../authority.ts";
import type { MeshIdentity } from "../mesh-identity.ts";
import { CaKeeper } from "./ca-keeper.ts";
import { RootsPublisher } from "./roots-publisher.ts";
import { makeTokenReviewVerifier } from "./token-review.ts";
import { WebhookBundle } from "./webhook-bundle.ts";
import { WebhookCertificate, type ServingCertificate } from "./webhook-certificate.ts";

const OWN_SECRET = "heddle-ca";
const WEBHOOK_CONFIGURATION = "heddle-injector";

export interface ClusterIdentityOptions {
  readonly client: KubernetesClient;
  /** Where the control plane runs. */
  readonly namespace: string;
  /** The Secret with the authority; the one of our own name is made where it is missing, another is awaited. */
  readonly caSecret?: string | undefined;
  readonly trustDomain: string;
  readonly leafLifeMs: number;
  /** Whether this replica does what only one may do. */
  readonly isLeader: Watched<boolean>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface ClusterIdentity extends MeshIdentity {
  readonly webhookCertificate: Watched<ServingCertificate>;
  /** Sees that the namespace has the roots, before a pod is admitted that asked for a sidecar itself. */
  ensureRoots(namespace: string): Promise<void>;
}

/** Resolves when there is an authority; waits as long as the API server does not answer. @throws {IdentityError} */
export async function openClusterIdentity(options: ClusterIdentityOptions): Promise<ClusterIdentity> {
  const { client, namespace, trustDomain, leafLifeMs, isLeader, clock, random, log } = options;
  const { caSecret = OWN_SECRET } = options;
  const common = { client, clock, random, log };
  const keeping = { namespace, name: caSecret, mayCreate: caSecret === OWN_SECRET, trustDomain, leafLifeMs };
  const keeper = await CaKeeper.open({ ...common, ...keeping });
  const authority = CertificateAuthority.over(keeper.material, { trustDomain, clock, leafLifeMs });
  const serviceNames = [`${CONTROL_PLANE_NAME}.${namespace}.svc`, `${CONTROL_PLANE_NAME}.${namespace}`];
  const webhook = await WebhookCertificate.open({ authority, names: serviceNames, clock, log });
  const roots = new RootsPublisher({ ...common, bundle: authority.bundle });
  const bundle = new WebhookBundle({ ...common, name: WEBHOOK_CONFIGURATION, bundle: authority.bundle });
  const unsubscribe = isLeader.subscribe((leads) => {
    for (const part of [keeper, roots, bundle]) part.setLeader(leads);
  });
  return {
    authority,
    verifiers: [makeTokenReviewVerifier({ client, trustDomain, clock })],
    serverNames: serviceNames,
    webhookCertificate: webhook.value,
    ensureRoots: async (name) => roots.ensure(name),
    close: async () => {
      unsubscribe();
      webhook.close();
      authority.close();
      await Promise.all([keeper.close(), roots.close(), bundle.close()]);
    },
  };
}
