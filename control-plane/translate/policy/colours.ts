// MeshConfig.colours as settings of the routing filter: what travels, and who may name it on this listener.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { ColourSettings } from "#config/schema/mesh/colours.ts";
import type { MeshConfigSpec } from "#config/schema/mesh-config.ts";

/** Who is believed on one listener. */
export interface Trust {
  readonly trustedIdentities: readonly string[];
  readonly trustsLocal: boolean;
}

/** As MeshConfig writes it. */
export interface Trusted {
  readonly identities?: readonly string[] | undefined;
  readonly listeners?: readonly string[] | undefined;
}

/** The colours of the mesh, in the order in which they narrow. `trustOf` reads a list of who is believed for this listener. */
export function colourSettings(
  { colours = [], tenants, trustDomain }: MeshConfigSpec,
  trustOf: (trusted: Trusted) => Trust,
  everybody: Pick<Trust, "trustsLocal">,
): readonly JsonValue[] {
  return colours.map((colour) => {
    // The tenant's name is as well guarded in baggage as in its headers; any other colour is the mesh's own.
    const guarded =
      colour.trusted ?? (tenants?.labelKey === colour.key ? trustedOfTenants(tenants.sources) : undefined);
    const trust =
      guarded === undefined
        ? { trustedIdentities: [`spiffe://${trustDomain}/ns/*/sa/*`], ...everybody }
        : trustOf(guarded);
    return {
      key: colour.key,
      baggageKey: colour.baggageKey ?? `heddle.${colour.key.slice(colour.key.lastIndexOf("/") + 1)}`,
      sources: colour.from.map(sourceOf),
      trustedIdentities: trust.trustedIdentities,
      trustsLocal: trust.trustsLocal,
      onUntrusted: colour.onUntrusted,
      onMissing: colour.onMissing,
      base: colour.base ?? "",
      withoutColour: colour.withoutColour,
    };
  });
}

function trustedOfTenants(sources: NonNullable<MeshConfigSpec["tenants"]>["sources"]): Trusted {
  const all = sources.flatMap(({ header }) => header?.trusted ?? []);
  return {
    identities: all.flatMap(({ identities = [] }) => identities),
    listeners: all.flatMap(({ listeners = [] }) => listeners),
  };
}

function sourceOf(source: ColourSettings["from"][number]): JsonValue {
  if (source.peerIdentity !== undefined) return { peerIdentity: { pattern: source.peerIdentity.pattern } };
  for (const kind of ["header", "cookie", "query"] as const) {
    const named = source[kind];
    if (named !== undefined) return { [kind]: { name: named.name, public: named.public } };
  }
  return {};
}
