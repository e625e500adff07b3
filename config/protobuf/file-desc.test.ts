// Holds our hydration of descriptors to that of @bufbuild/protobuf, which it replaces, for every file of xDS.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import {
  createFileRegistry,
  fromBinary,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
} from "@bufbuild/protobuf";
import {
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FileDescriptorProtoSchema,
  type DescriptorProto,
  type FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { fileDesc } from "./file-desc.ts";

const GENERATED = path.join(import.meta.dirname, "../xds/gen");
const GOOGLE = [
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];

test("every file is hydrated as the generator's own runtime would", () => {
  const sources = readGenerated();
  const theirs = hydrateTheirs(sources);
  const ours = hydrateOurs(sources);
  assert.ok(ours.size > 100);
  for (const [name, file] of ours) {
    const expected = theirs.get(name);
    assert.ok(expected);
    assert.deepEqual(outline(file), outline(expected), file.name);
  }
});

test("a type of a file that is not imported is an error once it is asked for", () => {
  const source = readGenerated().get("file_envoy_config_core_v3_address");
  const file = fileDesc(source?.base64 ?? "");
  assert.equal(file.messages[0]?.typeName, "envoy.config.core.v3.Pipe");
  const options = file.messages.find(({ name }) => name === "BindConfig")?.field["socketOptions"];
  assert.throws(
    () => options?.message,
    /address\.proto: it imports no file that has envoy\.config\.core\.v3\.SocketOption/,
  );
});

interface Generated {
  readonly base64: string;
  /** The identifiers of the files that it imports. */
  readonly imports: readonly string[];
}

/** What each generated file passes to `fileDesc`, by its identifier. */
function readGenerated(): Map<string, Generated> {
  const found = new Map<string, Generated>();
  for (const file of fs.globSync("**/*_pb.ts", { cwd: GENERATED })) {
    const source = fs.readFileSync(path.join(GENERATED, file), "utf8");
    const match = /export const (file_\w+): GenFile = [^"]*fileDesc\("([^"]+)"(?:, \[([^\]]*)\])?\)/.exec(source);
    assert.ok(match, file);
    const [, name = "", base64 = "", imports = ""] = match;
    found.set(name, { base64, imports: imports === "" ? [] : imports.split(", ") });
  }
  return found;
}

function hydrateOurs(sources: ReadonlyMap<string, Generated>): Map<string, DescFile> {
  const files = new Map<string, DescFile>(GOOGLE.map((file) => [identifierOf(file.proto.name), file]));
  const hydrate = (name: string): DescFile => {
    const known = files.get(name);
    if (known !== undefined) return known;
    const { base64 = "", imports = [] } = sources.get(name) ?? {};
    const file = fileDesc(base64, imports.map(hydrate));
    files.set(name, file);
    return file;
  };
  return new Map([...sources.keys()].map((name) => [name, hydrate(name)]));
}

function hydrateTheirs(sources: ReadonlyMap<string, Generated>): Map<string, DescFile> {
  const protos = new Map<string, FileDescriptorProto>(GOOGLE.map((file) => [file.proto.name, file.proto]));
  const names = new Map(GOOGLE.map((file) => [identifierOf(file.proto.name), file.proto.name]));
  for (const [identifier, { base64 }] of sources) {
    const proto = fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, "base64"));
    proto.messageType.forEach(restoreJsonNames);
    protos.set(proto.name, proto);
    names.set(identifier, proto.name);
  }
  for (const [identifier, { imports }] of sources) {
    const proto = protos.get(names.get(identifier) ?? "");
    if (proto !== undefined) proto.dependency = imports.map((name) => names.get(name) ?? "");
  }
  const ordered = new Map<string, FileDescriptorProto>();
  const visit = (proto: FileDescriptorProto | undefined): void => {
    if (proto === undefined || ordered.has(proto.name)) return;
    for (const name of proto.dependency) visit(protos.get(name));
    ordered.set(proto.name, proto);
  };
  for (const proto of protos.values()) visit(proto);
  const registry = createFileRegistry({
    $typeName: "google.protobuf.FileDescriptorSet",
    file: [...ordered.values()],
  });
  return new Map([...registry.files].map((file) => [identifierOf(file.proto.name), file]));
}

/** The generator leaves out what protoc's rule gives back. */
function restoreJsonNames(message: DescriptorProto): void {
  for (const field of message.field)
    if (field.jsonName === "")
      field.jsonName = field.name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  message.nestedType.forEach(restoreJsonNames);
}

function identifierOf(fileName: string): string {
  return `file_${fileName.replace(/\.proto$/, "").replaceAll(/[/.-]/g, "_")}`;
}

function outline(file: DescFile): unknown {
  return {
    name: file.name,
    edition: file.edition,
    messages: file.messages.map(outlineMessage),
    enums: file.enums.map(outlineEnum),
    services: file.services.map(({ typeName, methods }) => ({
      typeName,
      methods: methods.map((method) => [
        method.name,
        method.localName,
        method.methodKind,
        method.input.typeName,
        method.output.typeName,
        method.idempotency,
      ]),
    })),
    extensions: file.extensions.map((extension) => [
      extension.typeName,
      extension.number,
      extension.jsonName,
      extension.fieldKind,
      extension.message?.typeName,
      extension.scalar,
      extension.presence,
      extension.extendee.typeName,
    ]),
  };
}

function outlineMessage(message: DescMessage): unknown {
  return {
    typeName: message.typeName,
    name: message.name,
    parent: message.parent?.typeName,
    fields: message.fields.map(outlineField),
    byName: Object.keys(message.field),
    members: message.members.map(({ kind, localName }) => [kind, localName]),
    oneofs: message.oneofs.map(({ name, localName, fields }) => [name, localName, fields.map((field) => field.name)]),
    messages: message.nestedMessages.map(outlineMessage),
    enums: message.nestedEnums.map(outlineEnum),
  };
}

function outlineField(field: DescField): unknown {
  return {
    name: field.name,
    jsonName: field.jsonName,
    localName: field.localName,
    number: field.number,
    kind: field.fieldKind,
    scalar: field.scalar,
    message: field.message?.typeName,
    enum: field.enum?.typeName,
    listKind: field.fieldKind === "list" ? field.listKind : undefined,
    packed: field.fieldKind === "list" ? field.packed : undefined,
    mapKind: field.fieldKind === "map" ? field.mapKind : undefined,
    mapKey: field.fieldKind === "map" ? field.mapKey : undefined,
    presence: field.presence,
    utf8Validation: field.utf8Validation,
    oneof: field.oneof?.name,
    parent: field.parent.typeName,
    default: field.fieldKind === "scalar" || field.fieldKind === "enum" ? field.getDefaultValue() : undefined,
    text: String(field),
  };
}

function outlineEnum(desc: DescEnum): unknown {
  return {
    typeName: desc.typeName,
    open: desc.open,
    sharedPrefix: desc.sharedPrefix,
    values: desc.values.map(({ name, localName, number, jsonName }) => [name, localName, number, jsonName]),
    byNumber: Object.entries(desc.value).map(([number, { name }]) => [number, name]),
  };
}
