// What is read out of header values and bodies: trace context, the mesh hop's own field, grpc-timeout, paths, gRPC-Web's base64 and
// frames, the elements of a JSON array, path templates, log formats, regular expressions.
import assert from "node:assert/strict";

import { Base64Decoder, Base64Encoder, Base64Error } from "#filters/grpc-web/base64.ts";
import { JsonArrayError, JsonArraySplitter } from "#filters/grpc-json/json-array.ts";
import { BadEscapeError, PathMatcher } from "#filters/grpc-json/path-matcher.ts";
import { parsePathTemplate, PathTemplateError } from "#filters/grpc-json/path-template.ts";
import { BodyTooLargeError } from "#filters/grpc-json/replies.ts";
import { readTrace } from "#filters/trace-context/trace-context.ts";
import { encodeFrame, FrameReader, FrameTooLargeError } from "#lib/grpc/frames.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { compileRe2 } from "#lib/re2.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { formatGrpcTimeout, tryParseGrpcTimeoutMs } from "#proxy/resilience/deadline.ts";
import { compileFormat } from "#proxy/stream/format.ts";
import { formatNode, isForwarded } from "#proxy/stream/forwarded.ts";
import { normalizeTarget } from "#proxy/stream/normalize.ts";
import { ORIG_PROTO, packOrigProto, unpackOrigProto } from "#proxy/stream/orig-proto.ts";

import { parseSubjectNames } from "#proxy/tls/subject-names.ts";

import { blur, cuttings, seedOf, type Target } from "../target.ts";

interface TextTarget {
  readonly covers: readonly string[];
  readonly seeds: readonly string[];
  readonly words: readonly string[];
  readonly run: (text: string, input: Buffer) => string;
}

function makeTarget(name: string, { covers, seeds, words, run }: TextTarget): Target {
  return {
    name,
    covers,
    words,
    isLinear: true,
    maxBytes: 2048,
    seeds: () => seeds.map((seed) => Buffer.from(seed, "latin1")),
    run: (input) => run(input.toString("latin1"), input),
  };
}

/** Runs what may refuse with an error of these classes, and with no other. */
function attempt<T>(make: () => T, ...classes: readonly (new (...args: never[]) => Error)[]): T | Error {
  try {
    return make();
  } catch (error) {
    if (error instanceof Error && classes.some((known) => error instanceof known)) return error;
    throw error;
  }
}

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

export const trace = makeTarget("trace-context", {
  covers: ["/filters/trace-context/"],
  seeds: [
    `traceparent=00-${TRACE}-01`,
    `b3=${TRACE}-1`,
    `x-b3-traceid=${TRACE.slice(0, 32)}\nx-b3-spanid=${TRACE.slice(33)}\nx-b3-sampled=true`,
  ],
  words: ["traceparent=", "b3=", "x-b3-flags=1", "\n", "0".repeat(32), "-00", "ff-", TRACE],
  run(text) {
    const head = new HeaderBlock();
    for (const line of text.split("\n").slice(0, 20)) {
      const [name = "", ...value] = line.split("=");
      head.add(name, value.join("="));
    }
    const read = readTrace(head);
    if (read === undefined) return "none";
    assert.match(read.traceId, /^(?!0{32})[0-9a-f]{32}$/);
    assert.match(read.spanId, /^(?!0{16})[0-9a-f]{16}$/);
    return `${read.format} ${read.isSampled}`;
  },
});

export const origProto = makeTarget("orig-proto", {
  covers: ["/proxy/stream/orig-proto.ts"],
  seeds: ["1.1;t;x-A\nx-a\nx-b", "1.1\nhost", "1.0;X-Y;y\ny\nx-y"],
  words: [";t", ";", "\n", "1.1", "x-A", "\r", "\0", ":path", "\xc0"],
  run(text) {
    const [value = "", ...names] = text.split("\n");
    const head = HeaderBlock.of([":path", "/"], [ORIG_PROTO, value]);
    // Names as a codec lets them through.
    for (const name of names.slice(0, 30)) if (/^[a-z0-9-]+$/.test(name)) head.add(name, "v");
    assert.ok(unpackOrigProto(head));
    const raw: string[] = [];
    for (let i = 0; i < head.length; i++) {
      const spelled = head.rawNameAt(i);
      if (spelled === undefined) continue;
      assert.equal(spelled.toLowerCase(), head.nameAt(i), "another name than the field's");
      assert.ok(!head.nameAt(i).startsWith(":"));
      raw.push(spelled);
    }
    // What was unpacked is packed again and comes out the same.
    const again = head.clone();
    for (let i = 0; i < head.length; i++) {
      const spelled = head.rawNameAt(i);
      if (spelled !== undefined) again.setRawNameAt(i, spelled);
    }
    packOrigProto(again);
    for (let i = 0; i < again.length; i++) if (again.nameAt(i) !== ORIG_PROTO) again.setRawNameAt(i, "x");
    unpackOrigProto(again);
    for (let i = 0; i < head.length; i++) {
      // The first spelling of a name that comes twice is everybody's.
      if (head.rawNameAt(i) !== undefined) assert.equal(again.rawNameAt(i)?.toLowerCase(), head.nameAt(i));
    }
    return `${raw.length} names`;
  },
});

export const grpcTimeout = makeTarget("grpc-timeout", {
  covers: ["/proxy/resilience/deadline.ts"],
  seeds: ["1S", "99999999H", "250m", "7n"],
  words: ["0", "9", "H", "M", "S", "m", "u", "n", "-", " "],
  run(text) {
    const ms = tryParseGrpcTimeoutMs(text);
    if (ms === undefined) return "none";
    assert.ok(Number.isFinite(ms) && ms >= 0);
    const again = tryParseGrpcTimeoutMs(formatGrpcTimeout(ms)) ?? -1;
    assert.ok(again >= ms && again <= Math.max(ms * 1.001, ms + 0.001) + 1e-9, `${ms} ms became ${again} ms`);
    return text.slice(-1);
  },
});

export const forwarded = makeTarget("forwarded", {
  covers: ["/proxy/stream/forwarded.ts"],
  seeds: ['for=192.0.2.1;proto=https;host="a b", for="[::1]:80"', "for=_hidden , by=unknown", "for=a;;host=b"],
  words: ["for=", ";", ",", '"', "\\", "host=", " ", "\t", "%", "::ffff:1.2.3.4"],
  run(text) {
    const isRead = isForwarded(text);
    // What can be read can be read with an element of ours behind it, and what has an open quote cannot.
    if (isRead && text !== "") assert.ok(isForwarded(`${text}, for=192.0.2.1`));
    assert.ok(isForwarded(`for=${formatNode(text.replaceAll(/["\\]/g, ""))}`));
    return String(isRead);
  },
});

export const subjectNames = makeTarget("subject-names", {
  covers: ["/proxy/tls/subject-names.ts"],
  seeds: ['URI:spiffe://a/b, DNS:"a, URI:spiffe://a/c"', "IP Address:::1, email:a@b", "constructor:a"],
  words: ["URI:", "DNS:", ", ", '"', "\\", "\\u0000", "__proto__:"],
  run(text) {
    const { uris, dns, ips, emails } = parseSubjectNames(text);
    return `${uris.length} ${dns.length} ${ips.length} ${emails.length}`;
  },
});

export const paths = makeTarget("normalize-path", {
  covers: ["/proxy/stream/normalize.ts"],
  seeds: ["/a/../b/./c?d=../e", "/%2e%2E/%2f//a\\b", "/a//b/..", "/.."],
  words: ["/", "..", "%2e", "%2E%2e", "\\", "?", "#", "//", "%5c", "%", "."],
  run(text) {
    const target = `/${text}`;
    for (const isMerged of [false, true]) {
      const normal = normalizeTarget(target, true, isMerged);
      assert.ok(normal.startsWith("/"), "a path without its slash");
      const path = normal.replace(/[?#].*$/s, "");
      assert.ok(!/(^|\/)\.\.?(\/|$)/.test(path), `dots are left: ${path}`);
      assert.ok(!isMerged || !path.includes("//"), `slashes are left: ${path}`);
      assert.equal(normalizeTarget(normal, true, isMerged), normal, "twice is not once");
    }
    return "";
  },
});

export const base64 = makeTarget("grpc-web-base64", {
  covers: ["/filters/grpc-web/base64.ts"],
  seeds: ["aGVsbG8=", "YQ==YmM=ZGVm", "AAAAAAUICA=="],
  words: ["=", "==", "AAAA", "-", "\n"],
  run(_text, input) {
    const results = cuttings(input, makeSeededRandom(seedOf(input))).map((pieces) => {
      const decoder = new Base64Decoder();
      const got = attempt(
        () =>
          Buffer.concat(
            pieces.map((piece, i) => Buffer.from(decoder.decode(piece, 0, piece.length, i === pieces.length - 1))),
          ),
        Base64Error,
      );
      return Buffer.isBuffer(got) ? got.toString("hex") : "refused";
    });
    for (const result of results) assert.equal(result, results[0]);
    const encoder = new Base64Encoder();
    const parts = cuttings(input, makeSeededRandom(seedOf(input) ^ 1)).at(-1) ?? [];
    const text = Buffer.concat(parts.map((piece, i) => encoder.encode(piece, 0, piece.length, i === parts.length - 1)));
    assert.equal(text.toString(), input.toString("base64"));
    return results[0] === "refused" ? "refused" : "decoded";
  },
});

const MAX_MESSAGE = 1000;

export const grpcFrames = makeTarget("grpc-frames", {
  covers: ["/lib/grpc/frames.ts"],
  seeds: ["\0\0\0\0\x05hello\0\0\0\0\0", "\x80\0\0\0\x03a:b"],
  words: ["\0\0\0\0\0", "\0\0\0\x01\0", "\x7f\xff\xff\xff\xff"],
  run(_text, input) {
    const results = cuttings(input, makeSeededRandom(seedOf(input))).map((pieces) => {
      const reader = new FrameReader(MAX_MESSAGE);
      const got = attempt(() => pieces.flatMap((piece) => reader.read(piece, 0, piece.length)), FrameTooLargeError);
      if (got instanceof Error) return "too large";
      const again = Buffer.concat(got.map(({ flags, message }) => encodeFrame(flags, message)));
      assert.ok(input.subarray(0, again.length).equals(again));
      assert.equal(again.length + reader.pendingBytes, input.length, "octets are lost");
      return `${got.length} frames`;
    });
    for (const result of results) assert.equal(result, results[0]);
    return results[0] ?? "";
  },
});

export const jsonArray = makeTarget("grpc-json-array", {
  covers: ["/filters/grpc-json/json-array.ts"],
  seeds: ['[{"a":"]"},{"b":[1,2,"\\""]}]', "[]", " [1 , 2]\n"],
  words: ["[", "]", "{", "}", ",", '"', "\\", " "],
  run(text, input) {
    const results = cuttings(input, makeSeededRandom(seedOf(input))).map((pieces) => {
      const splitter = new JsonArraySplitter(4096);
      const got = attempt(
        () => pieces.flatMap((piece, i) => splitter.split(piece, 0, piece.length, i === pieces.length - 1)),
        JsonArrayError,
        BodyTooLargeError,
      );
      return got instanceof Error ? "refused" : JSON.stringify(got);
    });
    for (const result of results) assert.equal(result, results[0]);
    let whole: unknown;
    try {
      whole = JSON.parse(text);
    } catch {
      return "no JSON";
    }
    if (!Array.isArray(whole) || !/^[\x20-\x7e\s]*$/.test(text)) return "no array";
    const elements = JSON.parse(results[0] ?? "") as string[]; // as: made above
    assert.deepEqual(
      elements.map((element) => JSON.parse(element) as unknown),
      whole,
    );
    return `${elements.length} elements`;
  },
});

export const pathTemplate = makeTarget("path-template", {
  covers: ["/filters/grpc-json/path-template.ts", "/filters/grpc-json/path-matcher.ts"],
  seeds: [
    "/v1/{name=shelves/*}/books/{book.id}:publish\n/v1/shelves/a%2Fb/books/7:publish",
    "/a/**\n/a/b/%zz",
    "/{x}/**/b\n/a/b/b",
  ],
  words: ["{", "}", "=", "/", "*", "**", ":", "\n", "%2F", "%", "{a=b/*}"],
  run(text) {
    const [pattern = "", path = "/"] = text.split("\n");
    const template = attempt(() => parsePathTemplate(pattern), PathTemplateError);
    if (template instanceof Error) return blur(template.message);
    const matcher = new PathMatcher<number>("ALL_CHARACTERS_EXCEPT_RESERVED", false);
    matcher.add("GET", template, 1);
    const match = attempt(() => matcher.match("GET", path), BadEscapeError);
    if (match === undefined || match instanceof Error) return "no match";
    assert.equal(match.values.length, template.variables.length);
    return `${match.values.length} values`;
  },
});

export const logFormat = makeTarget("log-format", {
  covers: ["/proxy/stream/format"],
  seeds: [
    "%REQ(X-A?:PATH):10% %RESPONSE_CODE%",
    "%START_TIME(%Y-%m-%dT%H:%M:%S.%3f)%",
    "%GRPC_STATUS(SNAKE_STRING)% 100%%",
  ],
  words: ["%", "%%", "REQ(", ")", ":9%", "%PROTOCOL%", "%DYNAMIC_METADATA(heddle:rule)%", "?", "constructor", "%3f"],
  run(text) {
    try {
      assert.equal(typeof compileFormat(text), "function");
      return "compiled";
    } catch (error) {
      // The message is the user's: it must be ours, not the engine's.
      assert.match(error instanceof Error ? error.message : "", /^Cannot (use|read) /);
      return blur(error instanceof Error ? error.message : "");
    }
  },
});

export const regex: Target = {
  ...makeTarget("regex", {
    covers: ["/lib/re2.ts"],
    seeds: [
      "/v[0-9]+/.*\n/v1/a",
      "(a|b)*c\nabababc",
      "(?i)x{2,5}\nXXX",
      "^(a+)+$\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    ],
    words: ["(", ")", "*", "+", "{1,1000}", "[^a]", "\\d", "(?:", "|", ".", "\\pL", "(?P<n>"],
    run(text) {
      const [pattern = "", value = ""] = text.split("\n");
      let compiled;
      try {
        compiled = compileRe2(pattern.slice(0, 200));
      } catch (error) {
        // The class is the package's own, which only it knows.
        assert.ok(error instanceof Error && error.message.startsWith("error parsing regexp"), String(error));
        return blur(error.message);
      }
      return String(compiled.matches(value));
    },
  }),
  // The time that a pattern takes is its product with the text.
  isLinear: false,
};
