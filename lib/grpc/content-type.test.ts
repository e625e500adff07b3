import assert from "node:assert/strict";
import { test } from "node:test";

import { isGrpcType } from "./content-type.ts";

test("gRPC is its content type alone or with a format, and not gRPC-Web", () => {
  assert.ok(["application/grpc", "application/grpc+proto", "application/grpc+json"].every(isGrpcType));
  const others = [
    undefined,
    "",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpcx",
    "application/json",
  ];
  assert.ok(!others.some(isGrpcType));
});
