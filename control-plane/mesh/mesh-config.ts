// The MeshConfig that holds where nobody wrote one, and what a setting of the control plane says over it.
import { loadText } from "#config/load/load.ts";
import type { MeshConfigSpec } from "#config/schema/mesh-config.ts";
import { parseResource } from "#config/schema/parse-resource.ts";

const document = "apiVersion: heddle.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: default}\nspec: {}\n";
let parsed: MeshConfigSpec | undefined;

/** What the schema's defaults say. */
export function defaultMeshConfig(): MeshConfigSpec {
  return (parsed ??= parseDefault());
}

/** The same object for the same arguments: who compares by identity sees no change. */
const moved = new WeakMap<MeshConfigSpec, MeshConfigSpec>();

/**
 * The trust domain that sidecars and certificates were installed with holds over what the MeshConfig says: one that they do not
 * have would cut all of them off.
 */
export function inTrustDomain(config: MeshConfigSpec | undefined, trustDomain: string): MeshConfigSpec {
  const spec = config ?? defaultMeshConfig();
  if (spec.trustDomain === trustDomain) return spec;
  const known = moved.get(spec);
  if (known?.trustDomain === trustDomain) return known;
  const next = { ...spec, trustDomain };
  moved.set(spec, next);
  return next;
}

function parseDefault(): MeshConfigSpec {
  const [found] = loadText(document, "defaults").documents;
  const resource = found === undefined ? undefined : parseResource(found).resource;
  if (resource?.kind !== "MeshConfig")
    throw new TypeError("Cannot make the default MeshConfig: its schema refuses an empty spec");
  return resource.spec;
}
