// Holds our hydration of descriptors to that of @bufbuild/protobuf, which it replaces.
import assert from "node:assert/strict";
import test from "node:test";
import { clearField, fromBinary, toBinary, type DescFile } from "@bufbuild/protobuf";
import { fileDesc as theirs } from "@bufbuild/protobuf/codegenv2";
import { FieldDescriptorProtoSchema, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { file_envoy_config_core_v3_address } from "../xds/gen/envoy/config/core/v3/address_pb.ts";
import { fileDesc } from "./file-desc.ts";

test("a file is hydrated as the generator's own runtime would", () => {
  const file = file_envoy_config_core_v3_address;
  const proto = fromBinary(FileDescriptorProtoSchema, toBinary(FileDescriptorProtoSchema, file.proto));
  proto.dependency = [];
  for (const message of proto.messageType)
    for (const field of message.field) clearField(field, FieldDescriptorProtoSchema.field.jsonName);
  const base64 = Buffer.from(toBinary(FileDescriptorProtoSchema, proto)).toString("base64");
  const imports = [...file.dependencies];
  assert.ok(imports.length > 0);
  const ours = fileDesc(base64, imports);
  assert.deepEqual(outline(ours), outline(theirs(base64, imports)));
  assert.deepEqual([...ours.dependencies], imports, "what others find in it is whole");
  assert.ok(ours.dependencies.every((dependency, index) => dependency === imports[index]));
});

test("an import that is missing is an error", () => {
  const { proto } = file_envoy_config_core_v3_address;
  const base64 = Buffer.from(toBinary(FileDescriptorProtoSchema, proto)).toString("base64");
  assert.throws(() => fileDesc(base64, []), /SocketOption|TypedExtensionConfig|BoolValue|UInt32Value/);
});

function outline(file: DescFile): unknown {
  return file.messages.map(({ typeName, fields, oneofs }) => ({
    typeName,
    oneofs: oneofs.map(({ name }) => name),
    fields: fields.map((field) => [
      field.name,
      field.jsonName,
      field.localName,
      field.number,
      field.fieldKind,
      field.message?.typeName,
      field.enum?.typeName,
      field.scalar,
      field.presence,
    ]),
  }));
}
