// The gRPC methods that can be called with JSON, and the path rules that lead to them: what a descriptor set says, made ready.
import {
  createFileRegistry,
  fromBinary,
  mergeFromBinary,
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type FileRegistry,
} from "@bufbuild/protobuf";
import { messageDesc } from "@bufbuild/protobuf/codegenv2";
import { file_google_protobuf_descriptor, type FileDescriptorSet } from "@bufbuild/protobuf/wkt";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import fs from "node:fs";

import { HttpRuleSchema, type HttpRule } from "#config/xds/gen/google/api/http_pb.ts";
import { describeError } from "#lib/errors.ts";

import { FilterConfigError } from "../parse.ts";
import type { GrpcJsonConfig } from "./config.ts";
import { PathMatcher } from "./path-matcher.ts";
import { parsePathTemplate } from "./path-template.ts";

export const HTTP_BODY = "google.api.HttpBody";

/** One way to call one method. */
export interface Binding {
  readonly method: DescMethod;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The fields of the path's variables, in their order. */
  readonly variables: readonly (readonly DescField[])[];
  /** Where the body goes: undefined = there is none, empty = it is the message. */
  readonly body: readonly DescField[] | undefined;
  /** What of the answer is sent: empty = all of it. */
  readonly responseBody: readonly DescField[];
  readonly isHttpBodyRequest: boolean;
  readonly isHttpBodyResponse: boolean;
}

export interface Methods {
  readonly registry: FileRegistry;
  readonly matcher: PathMatcher<Binding>;
}

/** Throws with the reason when the set cannot be read, or a rule makes no sense. */
export function compileMethods(config: GrpcJsonConfig): Methods {
  const registry = readDescriptors(config);
  const matcher = new PathMatcher<Binding>(config.unescape, config.matchesAnyVerb);
  for (const [index, name] of config.services.entries()) {
    const service = registry.getService(name);
    if (service === undefined) {
      const known = [...registry].flatMap((desc) => (desc.kind === "service" ? [desc.typeName] : []));
      const wanted = `a service of the descriptor set (${known.join(", ") || "it has none"})`;
      throw new FilterConfigError(`services[${index}]`, wanted, name);
    }
    for (const method of service.methods) {
      try {
        addMethod(matcher, method, config.autoMapping);
      } catch (cause) {
        throw new Error(`Cannot transcode ${name}.${method.name}: ${describeError(cause)}`, { cause });
      }
    }
  }
  return { registry, matcher };
}

function readDescriptors({ descriptors }: GrpcJsonConfig): FileRegistry {
  try {
    const bytes = "file" in descriptors ? fs.readFileSync(descriptors.file) : Buffer.from(descriptors.base64, "base64");
    // Not FileDescriptorSetSchema: importing it hydrates descriptor.proto in every process that has this bundle, transcoding or not.
    const schema = messageDesc<FileDescriptorSet>(file_google_protobuf_descriptor, 0);
    return createFileRegistry(fromBinary(schema, bytes));
  } catch (cause) {
    const [field, got] =
      "file" in descriptors
        ? ["protoDescriptor", descriptors.file]
        : ["protoDescriptorBin", `${descriptors.base64.length} characters of base64`];
    throw new FilterConfigError(field, `a descriptor set that can be read (${describeError(cause)})`, got);
  }
}

function addMethod(matcher: PathMatcher<Binding>, method: DescMethod, autoMapping: boolean): void {
  const path = `/${method.parent.typeName}/${method.name}`;
  const rule = readRule(method);
  if (rule !== undefined) {
    for (const one of [rule, ...rule.additionalBindings]) addRule(matcher, method, path, one);
  } else if (autoMapping) {
    add(matcher, method, path, "POST", path, "*", "");
  }
}

/** The option's number in google/api/annotations.proto. */
const HTTP_OPTION = 72295728;

/** The method's `google.api.http`, whether the set has the file that declares it or not. */
function readRule(method: DescMethod): HttpRule | undefined {
  const options = method.proto.options?.$unknown?.filter(({ no }) => no === HTTP_OPTION) ?? [];
  if (options.length === 0) return undefined;
  const rule = create(HttpRuleSchema);
  for (const { data } of options) mergeFromBinary(HttpRuleSchema, rule, new BinaryReader(data).bytes());
  return rule;
}

function addRule(matcher: PathMatcher<Binding>, method: DescMethod, path: string, rule: HttpRule): void {
  const { pattern } = rule;
  if (pattern.case === undefined) return;
  if (pattern.case === "custom")
    add(matcher, method, path, pattern.value.kind, pattern.value.path, rule.body, rule.responseBody);
  else add(matcher, method, path, pattern.case.toUpperCase(), pattern.value, rule.body, rule.responseBody);
}

function add(
  matcher: PathMatcher<Binding>,
  method: DescMethod,
  path: string,
  httpMethod: string,
  pattern: string,
  body: string,
  responseBody: string,
): void {
  const template = parsePathTemplate(pattern);
  const bodyFields = body === "" ? undefined : body === "*" ? [] : demandFields(method.input, body.split("."));
  const responseFields = responseBody === "" ? [] : demandFields(method.output, responseBody.split("."));
  const binding: Binding = {
    method,
    path,
    variables: template.variables.map(({ fieldPath }) => demandFields(method.input, fieldPath)),
    body: bodyFields,
    responseBody: responseFields,
    isHttpBodyRequest: bodyFields !== undefined && messageAt(method.input, bodyFields)?.typeName === HTTP_BODY,
    isHttpBodyResponse: messageAt(method.output, responseFields)?.typeName === HTTP_BODY,
  };
  if (!matcher.add(httpMethod, template, binding))
    throw new Error(`${httpMethod} ${pattern} is the path of another method too`);
}

/** The message at a path of fields; undefined = a scalar, a list or a map. */
function messageAt(message: DescMessage, fields: readonly DescField[]): DescMessage | undefined {
  const last = fields.at(-1);
  if (last === undefined) return message;
  return last.fieldKind === "message" ? last.message : undefined;
}

function demandFields(message: DescMessage, names: readonly string[]): readonly DescField[] {
  const fields = findFields(message, names);
  if (fields === undefined) throw new Error(`${message.typeName} has no field ${names.join(".")}`);
  return fields;
}

/** By their names in the .proto or in JSON; undefined = there is no such field. */
export function findFields(message: DescMessage, names: readonly string[]): readonly DescField[] | undefined {
  const fields: DescField[] = [];
  let at: DescMessage | undefined = message;
  for (const name of names) {
    const field: DescField | undefined = at?.fields.find((one) => one.name === name || one.jsonName === name);
    if (field === undefined) return undefined;
    fields.push(field);
    at = field.fieldKind === "message" ? field.message : undefined;
  }
  return fields;
}
