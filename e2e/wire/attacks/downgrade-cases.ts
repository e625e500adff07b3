// HTTP/2 requests that would become something else when they are written down as HTTP/1 (h2.CL, h2.TE, header injection, request
// splitting by `:path` and `:method`; PortSwigger's "HTTP/2: the sequel is always worse").
import { type Field } from "./raw-frames.ts";

export interface DowngradeCase {
  readonly name: string;
  readonly fields: readonly Field[];
  /** DATA frames; undefined = the head ends the stream. */
  readonly data?: readonly string[];
  readonly trailers?: readonly Field[];
  /** RST_STREAM with PROTOCOL_ERROR, the end of the connection, or 400 by ourselves; else 200. */
  readonly isRefused: boolean;
  /** `METHOD target length-of-body` that the server understands. */
  readonly request?: string;
  /** Must not occur in what reaches the server. */
  readonly never?: RegExp;
}

type More = Pick<DowngradeCase, "data" | "trailers">;

const HIDDEN = "GET /HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n";

function head(changes: Readonly<Record<string, string | undefined>>, ...more: readonly Field[]): readonly Field[] {
  const pseudo = { ":method": "GET", ":scheme": "http", ":path": "/first", ":authority": "a", ...changes };
  const fields: Field[] = [];
  for (const [name, value] of Object.entries(pseudo)) if (value !== undefined) fields.push([name, value]);
  return [...fields, ...more];
}

function refused(name: string, fields: readonly Field[], more: More = {}): DowngradeCase {
  return { name, fields, isRefused: true, ...more };
}

function served(
  name: string,
  fields: readonly Field[],
  request: string,
  never?: RegExp,
  more: More = {},
): DowngradeCase {
  return { name, fields, isRefused: false, request, ...(never === undefined ? {} : { never }), ...more };
}

const POST = { ":method": "POST" };

const BAD_VALUES: readonly (readonly [name: string, value: string])[] = [
  ["CRLF and a field", "x\r\nEvil: 1"],
  ["CRLF CRLF and a request", `x\r\n\r\n${HIDDEN}`],
  ["a LF and a field", "x\nEvil: 1"],
  ["a CR and a field", "x\rEvil: 1"],
  ["a NUL", "x\0y"],
  ["a LF at the end", "x\n"],
  ["a CR at the beginning", "\rx"],
  ["CRLF and a blank (folding)", "x\r\n y"],
];

const BAD_NAMES: readonly (readonly [name: string, field: string])[] = [
  ["a colon and a value", "x: y\r\nevil"],
  ["a colon", "x:y"],
  ["a space", "x y"],
  ["a space at the end", "x "],
  ["a tab", "x\ty"],
  ["a CRLF", "x\r\nevil"],
  ["a LF", "x\nevil"],
  ["a NUL", "x\0"],
  ["a capital letter", "X-Upper"],
  ["a high byte", "x\xe9"],
  ["a DEL", "x\x7f"],
  ["a slash", "x/y"],
  ["a bracket", "x(y"],
  ["nothing", ""],
  ["a whole coding", "transfer-encoding: chunked\r\nx"],
];

const BAD_PATHS: readonly (readonly [name: string, path: string])[] = [
  ["a space", "/a b"],
  ["a version and a request", `/first HTTP/1.1\r\nHost: a\r\n\r\nGET /HIDDEN`],
  ["a space and a version", "/first HTTP/1.1"],
  ["a CRLF", "/first\r\nEvil: 1"],
  ["a LF", "/first\nEvil: 1"],
  ["a tab", "/a\tb"],
  ["a NUL", "/a\0b"],
  ["a DEL", "/a\x7fb"],
  ["a high byte", "/a\xe9"],
  ["a fragment", "/a#HIDDEN"],
  ["no slash at the beginning", "first"],
  ["a URL", "http://b/first"],
  ["an authority", "@b/first"],
  ["nothing", ""],
  ["the asterisk with GET", "*"],
  ["a question mark first", "?x"],
];

const BAD_METHODS: readonly (readonly [name: string, method: string])[] = [
  ["a space", "GET /HIDDEN HTTP/1.1"],
  ["a CRLF and a request", `${HIDDEN}GET`],
  ["a LF", "GET\n"],
  ["a tab", "GET\tx"],
  ["a colon", "GET:"],
  ["a slash", "GET/x"],
  ["nothing", ""],
  ["a NUL", "GET\0"],
  ["a high byte", "G\xe9T"],
];

const BAD_AUTHORITIES: readonly (readonly [name: string, authority: string])[] = [
  ["a user", "user@a"],
  ["a user and a password", "user:secret@a"],
  ["a space", "a b"],
  ["a CRLF and a field", "a\r\nEvil: 1"],
  ["a LF", "a\n"],
  ["a NUL", "a\0"],
  ["a path", "a/first"],
  ["a query", "a?x"],
  ["a fragment", "a#x"],
  ["a comma", "a, b"],
  ["a backslash", "a\\b"],
  ["a tab", "a\tb"],
  ["a high byte", "\xe9"],
];

const BAD_SCHEMES: readonly (readonly [name: string, scheme: string])[] = [
  ["a request", `http://b/HIDDEN HTTP/1.1\r\n`],
  ["a URL", "http://b/"],
  ["a space", "ht tp"],
  ["nothing", ""],
  ["a digit first", "1http"],
  ["a CRLF", "http\r\n"],
];

const BAD_LENGTHS: readonly (readonly [name: string, value: string])[] = [
  ["shorter than the body", "2"],
  ["longer than the body", "9"],
  ["a list", "5, 5"],
  ["a sign", "+5"],
  ["a minus", "-5"],
  ["hexadecimal", "0x5"],
  ["nothing", ""],
  ["a blank in front", " 5"],
  ["2^64 + 5", "18446744073709551621"],
  ["a letter", "5x"],
];

const CONNECTION_FIELDS: readonly Field[] = [
  ["transfer-encoding", "chunked"],
  ["transfer-encoding", "identity"],
  ["transfer-encoding", ""],
  ["connection", "close"],
  ["connection", "content-length"],
  ["connection", "upgrade"],
  ["keep-alive", "timeout=5"],
  ["proxy-connection", "keep-alive"],
  ["upgrade", "h2c"],
  ["upgrade", "websocket"],
  ["te", "gzip"],
  ["te", "trailers, gzip"],
  ["te", "chunked"],
];

export const DOWNGRADES: readonly DowngradeCase[] = [
  ...BAD_VALUES.map(([name, value]) => refused(`a value with ${name}`, head({}, ["x", value]))),
  ...BAD_NAMES.map(([name, field]) => refused(`a name with ${name}`, head({}, [field, "y"]))),
  refused("a pseudo-field with a colon in its name", head({}, [":path:", "/HIDDEN"])),
  ...BAD_PATHS.map(([name, path]) => refused(`:path with ${name}`, head({ ":path": path }))),
  ...BAD_METHODS.map(([name, method]) => refused(`:method with ${name}`, head({ ":method": method }))),
  ...BAD_AUTHORITIES.map(([name, authority]) => refused(`:authority with ${name}`, head({ ":authority": authority }))),
  ...BAD_AUTHORITIES.map(([name, host]) =>
    refused(`host alone with ${name}`, head({ ":authority": undefined }, ["host", host])),
  ),
  ...BAD_SCHEMES.map(([name, scheme]) => refused(`:scheme with ${name}`, head({ ":scheme": scheme }))),
  ...BAD_LENGTHS.map(([name, value]) =>
    refused(`content-length, ${name}`, head(POST, ["content-length", value]), { data: ["hello"] }),
  ),
  refused("content-length twice", head(POST, ["content-length", "5"], ["content-length", "5"]), { data: ["hello"] }),
  refused("content-length twice, different", head(POST, ["content-length", "5"], ["content-length", "0"]), {
    data: ["hello"],
  }),
  refused("content-length without a body", head(POST, ["content-length", "5"])),
  // A length of zero is a whole request before the first DATA frame comes: the server may have answered it, and sees no more.
  {
    ...refused("h2.CL: a hidden request behind the length", head(POST, ["content-length", "0"]), { data: [HIDDEN] }),
    request: "POST /first 0",
  },
  refused("h2.TE: chunks that end before a hidden request", head(POST, ["transfer-encoding", "chunked"]), {
    data: [`0\r\n\r\n${HIDDEN}`],
  }),
  ...CONNECTION_FIELDS.map(([name, value]) =>
    refused(`${name}: ${value}`, head(POST, [name, value]), { data: ["hello"] }),
  ),
  ...[":method", ":path", ":scheme", ":authority"].map((name) =>
    refused(`${name} twice`, [...head({}).slice(0, 4), [name, name === ":path" ? "/HIDDEN" : "b"]]),
  ),
  ...[":method", ":path", ":scheme"].map((name) => refused(`no ${name}`, head({ [name]: undefined }))),
  refused("a pseudo-field behind a regular one", [...head({ ":path": undefined }, ["x", "y"]), [":path", "/first"]]),
  refused("an unknown pseudo-field", head({ ":evil": "1" })),
  refused(":status in a request", head({ ":status": "200" })),
  refused(":protocol without CONNECT", head({ ":protocol": "websocket" })),
  refused("host and :authority that differ", head({}, ["host", "b"])),
  refused("two host fields", head({}, ["host", "a"], ["host", "a"])),
  refused("two host fields without :authority", head({ ":authority": undefined }, ["host", "a"], ["host", "b"])),
  refused("neither host nor :authority", head({ ":authority": undefined })),
  refused("CONNECT with a path", head({ ":method": "CONNECT" })),
  refused("a pseudo-field in trailers", head(POST), { data: ["hello"], trailers: [[":path", "/HIDDEN"]] }),
  refused("content-length in trailers", head(POST), { data: ["hello"], trailers: [["content-length", "50"]] }),
  refused("transfer-encoding in trailers", head(POST), {
    data: ["hello"],
    trailers: [["transfer-encoding", "chunked"]],
  }),
  refused("connection in trailers", head(POST), { data: ["hello"], trailers: [["connection", "close"]] }),
  refused("host in trailers", head(POST), { data: ["hello"], trailers: [["host", "b"]] }),
  refused("a capital letter in trailers", head(POST), { data: ["hello"], trailers: [["X", "y"]] }),
  refused("CRLF in trailers", head(POST), { data: ["hello"], trailers: [["x", `y\r\n\r\n${HIDDEN}`]] }),

  served("a plain request", head({}), "GET /first 0"),
  served("host alone", head({ ":authority": undefined }, ["host", "a"]), "GET /first 0"),
  served("host and :authority that agree", head({}, ["host", "a"]), "GET /first 0"),
  served("OPTIONS *", head({ ":method": "OPTIONS", ":path": "*" }), "OPTIONS * 0"),
  served("a body that looks like a request", head(POST), `POST /first ${HIDDEN.length}`, undefined, { data: [HIDDEN] }),
  served("a body that looks like the end of chunks", head(POST), "POST /first 5", undefined, { data: ["0\r\n\r\n"] }),
  served("a GET with a body", head({}), `GET /first ${HIDDEN.length}`, undefined, { data: [HIDDEN] }),
  served("a length that fits", head(POST, ["content-length", "5"]), "POST /first 5", undefined, {
    data: ["he", "llo"],
  }),
  served("te: trailers", head({}, ["te", "trailers"]), "GET /first 0"),
  served(
    "http2-settings is not passed on",
    head({}, ["http2-settings", "AAMAAABk"]),
    "GET /first 0",
    /http2-settings/i,
  ),
  served("expect", head(POST, ["expect", "100-continue"]), "POST /first 5", undefined, { data: ["hello"] }),
  served(
    "heddle-orig-proto of somebody who is no peer is taken away",
    head({}, ["heddle-orig-proto", "1.1;Transfer-Encoding;Content-Length: 5"], ["heddle-peer", "x"]),
    "GET /first 0",
    /heddle-|transfer-encoding/i,
  ),
  served("trailers that only inform", head(POST), "POST /first 5", undefined, {
    data: ["hello"],
    trailers: [["x-sum", "1"]],
  }),
  served("trailers that would authorize", head(POST), "POST /first 5", /authorization|cookie/i, {
    data: ["hello"],
    trailers: [
      ["authorization", "Basic x"],
      ["cookie", "a=b"],
      ["x-sum", "1"],
    ],
  }),
];
