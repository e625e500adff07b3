import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { decodeGrpcMessage, encodeGrpcMessage, grpcStatusFor, httpStatusFor } from "./status.ts";

test("a message comes back from its percent-encoding, which is printable ASCII", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (message) => {
      const encoded = encodeGrpcMessage(message);
      assert.match(encoded, /^[\x20-\x7e]*$/);
      assert.equal(decodeGrpcMessage(encoded), Buffer.from(message).toString());
    }),
  );
  assert.equal(decodeGrpcMessage("100% sure %zz"), "100% sure %zz");
});

test("codes are those of google.rpc.Code", () => {
  assert.deepEqual(
    [0, 1, 3, 4, 5, 6, 7, 8, 12, 14, 16, 17].map(httpStatusFor),
    [200, 499, 400, 504, 404, 409, 403, 429, 501, 503, 401, 500],
  );
  assert.deepEqual([400, 401, 403, 404, 429, 503, 500, 200].map(grpcStatusFor), [13, 16, 7, 12, 14, 14, 2, 2]);
});
