// A document becomes a resource: checked against its kind, defaults filled in, every mistake reported with its place.

import type { ConfigError } from "#config/load/config-error.ts";
import { formatPath } from "#config/load/json-path.ts";
import { problemAt, type ResourceDocument } from "#config/load/load.ts";
import { checkRegularExpressions } from "./regular-expressions.ts";
import { apiVersionOf, gatewayGroup, heddleGroup, isVersionOf, type KindDefinition } from "./kind.ts";
import { kinds, resourceName, type Resource } from "./kinds.ts";
import { metadataSchema } from "./metadata.ts";
import { ShapeChecker, type Finding } from "./shape-checker.ts";
import type { StructuralSchema } from "./structural.ts";
import { suggest } from "./suggest.ts";

export interface Parsed {
  /** Absent where the document has an error, or is of a kind that is not ours. */
  readonly resource?: Resource;
  /** Errors and warnings of this document alone. */
  readonly problems: readonly ConfigError[];
}

/** Parses documents; keeps compiled patterns, so make one and use it again. */
export class ResourceParser {
  readonly #checkers = new Map<KindDefinition, ShapeChecker>();

  /** Never throws: what is wrong with the document is in the answer. */
  parse(document: ResourceDocument): Parsed {
    const definition = kinds.find(({ kind }) => kind === document.kind);
    if (definition === undefined || !isVersionOf(definition, document.apiVersion))
      return { problems: [wrongKind(document, definition)] };
    const { value, findings } = this.#checker(definition).check(wholeObject(document, definition), []);
    const object = value as Pick<Resource, "metadata" | "spec">; // what the schema says, if nothing was found
    const all = findings.length > 0 ? findings : checkRegularExpressions(definition.spec, object.spec, ["spec"]);
    if (all.length > 0) return { problems: all.map((finding) => problemOf(document, finding)) };
    const namespace = definition.scope === "Cluster" ? "" : (document.metadata.namespace ?? "default");
    const { name, labels, annotations, generation, creationTimestamp } = object.metadata;
    const metadata = {
      name,
      namespace,
      labels,
      annotations,
      ...(generation === undefined ? {} : { generation }),
      // Its type is not checked, as users do not write it: generated files have it as null.
      ...(typeof creationTimestamp === "string" ? { creationTimestamp } : {}),
    };
    const { apiVersion, kind, source } = document;
    // The checker has shown that spec is what the kind's schema, and so its type, says.
    return { resource: { kind, apiVersion, metadata, spec: object.spec, source } as Resource, problems: [] };
  }

  #checker(definition: KindDefinition): ShapeChecker {
    let checker = this.#checkers.get(definition);
    if (checker === undefined) this.#checkers.set(definition, (checker = new ShapeChecker(objectSchema(definition))));
    return checker;
  }
}

/** Parses one document. To parse many, make a `ResourceParser`. */
export function parseResource(document: ResourceDocument): Parsed {
  return new ResourceParser().parse(document);
}

/** Schema of a whole object, metadata and all. */
function objectSchema(definition: KindDefinition): StructuralSchema {
  const ignored: StructuralSchema = {};
  return {
    type: "object",
    properties: {
      apiVersion: ignored,
      kind: ignored,
      metadata: metadataFor(definition),
      spec: definition.spec,
      status: ignored,
    },
    required: ["spec"],
    "x-kubernetes-validations": definition.rules,
  };
}

function metadataFor({ scope, kind }: KindDefinition): StructuralSchema {
  if (scope === "Namespaced") return metadataSchema;
  const rule = "!has(self.__namespace__)";
  return {
    ...metadataSchema,
    "x-kubernetes-validations": [{ rule, message: `a ${kind} is for the whole cluster and has no namespace` }],
  };
}

/** A spec that is left out is an empty one wherever nothing in it is required: then the error names the field. */
function wholeObject({ apiVersion, kind, metadata, spec, rest }: ResourceDocument, definition: KindDefinition): object {
  const isOmitted = spec === undefined || spec === null;
  const needed = (definition.spec.required ?? []).some(
    (field) => definition.spec.properties?.[field]?.default === undefined,
  );
  return { apiVersion, kind, metadata, ...rest, spec: isOmitted && !needed ? {} : spec };
}

function problemOf(document: ResourceDocument, { code, path, says, hint, at }: Finding): ConfigError {
  const where = path.length === 0 ? "it" : formatPath(path);
  const message = `Cannot parse ${resourceName(document)}: ${where} ${says}`;
  return problemAt(document.source, path, {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(at === undefined ? {} : { at }),
  });
}

function wrongKind(document: ResourceDocument, sameName: KindDefinition | undefined): ConfigError {
  const { apiVersion, kind, source } = document;
  if (sameName !== undefined) {
    const wanted = apiVersionOf(sameName);
    return problemAt(source, ["apiVersion"], {
      code: "HDL_CONFIG_UNKNOWN_KIND",
      message: `Cannot parse ${resourceName(document)}: apiVersion must be ${wanted}: got ${JSON.stringify(apiVersion)}`,
      hint: `write apiVersion: ${wanted}`,
    });
  }
  const [group = ""] = apiVersion.split("/");
  const ours = kinds.filter((definition) => definition.group === group);
  const near = suggest(
    kind,
    ours.map((definition) => definition.kind),
  );
  const message = `Cannot parse ${resourceName(document)}: there is no kind ${JSON.stringify(kind)} in ${group}`;
  if (group === heddleGroup || (group === gatewayGroup && near !== undefined && !otherGatewayKinds.has(kind))) {
    const hint =
      near === undefined
        ? `kinds there: ${ours.map((definition) => definition.kind).join(", ")}`
        : `did you mean \`${near}\`?`;
    return problemAt(source, ["kind"], { code: "HDL_CONFIG_UNKNOWN_KIND", message, hint });
  }
  const nearGroup = suggest(group, [heddleGroup, gatewayGroup]);
  if (nearGroup !== undefined && nearGroup !== group)
    return problemAt(source, ["apiVersion"], {
      code: "HDL_CONFIG_UNKNOWN_KIND",
      message,
      hint: `did you mean the group \`${nearGroup}\`?`,
    });
  return problemAt(source, ["kind"], {
    code: "HDL_CONFIG_IGNORED_KIND",
    severity: "warning",
    message: `${resourceName(document)} of ${apiVersion} is ignored: Heddle does not read this kind`,
  });
}

/** Kinds of Gateway API that exist, so that their names are no misspellings of ours. */
const otherGatewayKinds = new Set([
  "Gateway",
  "GatewayClass",
  "TCPRoute",
  "TLSRoute",
  "UDPRoute",
  "BackendTLSPolicy",
  "ListenerSet",
]);
