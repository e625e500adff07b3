// Resources that come over xDS, in protobuf: one of each kind, changed at the boundaries of its fields. They are understood or refused,
// with our reasons; what was understood can be written again, and the proxy can say whether it would compile.
import assert from "node:assert/strict";

import * as fc from "fast-check";

import { ResourceError, type DecodeOptions } from "#config/xds/issues.ts";
import { decodeResource, encodeResource, type ResourceModel } from "#config/xds/resource.ts";
import { KNOWN_ENVOY_FILTER, KNOWN_FILTER } from "#config/xds/testing/generators.ts";
import { generators } from "#config/xds/testing/resource-generators.ts";
import { TYPE_URLS } from "#config/xds/type-urls.ts";
import type { Random } from "#lib/random.ts";
import { validateResource } from "#proxy/app/validate.ts";

import { mutateBytes } from "../mutate.ts";
import { below, blur, pick, type Target } from "../target.ts";

const options: DecodeOptions = { knownFilters: new Set([KNOWN_FILTER, KNOWN_ENVOY_FILTER]) };

const KINDS = Object.keys(generators) as (keyof typeof generators)[];

/** A field of a message, its number and what it is, between `start` and `end`; undefined where there is none. */
function fieldAt(
  bytes: Buffer,
  start: number,
): { readonly value: number; readonly end: number; readonly wire: number } | undefined {
  let at = start;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35 && at < bytes.length; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    return -1;
  };
  const tag = varint();
  const value = at;
  const wire = tag & 7;
  if (wire === 0) varint();
  else if (wire === 1) at += 8;
  else if (wire === 5) at += 4;
  else if (wire === 2) {
    const length = varint();
    const content = at;
    at = length < 0 ? bytes.length + 1 : at + length;
    return at > bytes.length ? undefined : { value: content, end: at, wire };
  } else return undefined;
  return at > bytes.length || at <= start ? undefined : { value, end: at, wire };
}

/** Leaves out, doubles or swaps a field, or changes one inside of it with all lengths made right again. */
function mutateMessage(bytes: Buffer, random: Random, depth = 0): Buffer {
  const fields: { readonly from: number; readonly value: number; readonly end: number; readonly wire: number }[] = [];
  for (let at = 0; at < bytes.length;) {
    const field = fieldAt(bytes, at);
    if (field === undefined) break;
    fields.push({ from: at, ...field });
    at = field.end;
  }
  if (fields.length === 0) return mutateBytes(bytes, random, [], [bytes]);
  const { from, value, end, wire } = pick(random, fields);
  const [before, whole, behind] = [bytes.subarray(0, from), bytes.subarray(from, end), bytes.subarray(end)];
  if (wire === 2 && depth < 12 && random.next() < 0.75) {
    const inner = mutateMessage(bytes.subarray(value, end), random, depth + 1);
    const length: number[] = [];
    for (let rest = inner.length; ; rest >>>= 7) {
      length.push(rest > 127 ? (rest & 127) | 128 : rest);
      if (rest <= 127) break;
    }
    let tagEnd = from;
    while ((bytes[tagEnd] ?? 0) > 127) tagEnd++;
    return Buffer.concat([before, bytes.subarray(from, tagEnd + 1), Buffer.from(length), inner, behind]);
  }
  switch (below(random, 4)) {
    case 0:
      return Buffer.concat([before, behind]);
    case 1:
      return Buffer.concat([before, whole, whole, behind]);
    case 2: {
      const other = pick(random, fields);
      return Buffer.concat([before, bytes.subarray(other.from, other.end), behind]);
    }
    default:
      return Buffer.concat([before, mutateBytes(whole, random, [], [bytes]), behind]);
  }
}

export const xds: Target = {
  name: "xds",
  covers: ["/config/xds/", "/config/protobuf/", "/proxy/app/validate.ts", "/proxy/route/"],
  seeds: () =>
    KINDS.flatMap((kind, i) =>
      fc.sample(generators[kind] as fc.Arbitrary<ResourceModel["model"]>, { seed: 7, numRuns: 6 }).map((model) => {
        const { value } = encodeResource(structuredClone({ kind, model }) as ResourceModel); // as: of one kind's generator
        return Buffer.concat([Buffer.from([i]), value]);
      }),
    ),
  mutate: (input, random) => Buffer.concat([input.subarray(0, 1), mutateMessage(input.subarray(1), random)]),
  run(input) {
    const kind = KINDS[(input[0] ?? 0) % KINDS.length] ?? "cluster";
    let resource;
    try {
      resource = decodeResource(TYPE_URLS[kind], input.subarray(1), options);
    } catch (error) {
      if (!(error instanceof ResourceError)) throw error;
      return blur(error.message);
    }
    // What was understood can be said again, and then means the same.
    const again = decodeResource(TYPE_URLS[kind], encodeResource(resource), options);
    assert.deepEqual(again, resource);
    const problem = validateResource(resource);
    assert.ok(
      problem === undefined || !/undefined|is not a function|Cannot read properties/.test(problem),
      `not in our words: ${problem}`,
    );
    return `${kind} ${problem === undefined ? "taken" : blur(problem)}`;
  },
};
