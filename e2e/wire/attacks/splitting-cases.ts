// Answers by which a server (or whoever writes into its answers) tries to hand one client's answer to another.

export interface SplittingCase {
  readonly name: string;
  readonly method: string;
  /** What the server writes, Latin-1; with several pieces it pauses between them. */
  readonly pieces: readonly string[];
  /** The server closes its side behind them. */
  readonly ends: boolean;
  /** What the client gets: the status and the body; "cut" = no whole answer, and the end of its connection. */
  readonly client: readonly [status: number, body: string] | "cut";
}

export const EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
const OK = "HTTP/1.1 200 OK\r\n";
const LENGTH_2 = "Content-Length: 2\r\n";
const CHUNKED = "Transfer-Encoding: chunked\r\n";

type Options = Partial<Pick<SplittingCase, "method" | "ends">>;

function gives(
  name: string,
  client: SplittingCase["client"],
  pieces: string | readonly string[],
  options: Options = {},
) {
  return {
    name,
    method: "GET",
    ends: false,
    client,
    pieces: typeof pieces === "string" ? [pieces] : pieces,
    ...options,
  };
}

const BAD = [502, ""] as const;

/** Heads that nobody may believe. */
const BAD_HEADS: readonly (readonly [name: string, head: string])[] = [
  ["two lengths", `${OK}Content-Length: 2\r\nContent-Length: 4\r\n\r\nokEVIL`],
  ["two equal lengths", `${OK}${LENGTH_2}${LENGTH_2}\r\nok`],
  ["a list of lengths", `${OK}Content-Length: 2, 2\r\n\r\nok`],
  ["a signed length", `${OK}Content-Length: +2\r\n\r\nok`],
  ["a hexadecimal length", `${OK}Content-Length: 0x2\r\n\r\nok`],
  ["a length of 2^64 + 2", `${OK}Content-Length: 18446744073709551618\r\n\r\nok`],
  ["a length and chunks", `${OK}${LENGTH_2}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n`],
  ["chunks in HTTP/1.0", `HTTP/1.0 200 OK\r\n${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n`],
  ["an unknown coding", `${OK}Transfer-Encoding: cow\r\n\r\nok`],
  ["identity", `${OK}Transfer-Encoding: identity\r\n${LENGTH_2}\r\nok`],
  ["two codings", `${OK}${CHUNKED}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n`],
  ["a coding with a space before the colon", `${OK}Transfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
  ["a bare LF behind the status", `HTTP/1.1 200 OK\n${LENGTH_2}\r\nok`],
  ["a bare LF in a value (splitting)", `${OK}X: a\nSet-Cookie: evil=1\r\n${LENGTH_2}\r\nok`],
  ["a bare CR in a value (splitting)", `${OK}X: a\rSet-Cookie: evil=1\r\n${LENGTH_2}\r\nok`],
  ["LF LF in a value (splitting)", `${OK}X: a\n\n${EVIL}\r\n${LENGTH_2}\r\nok`],
  ["a NUL in a value", `${OK}X: a\0\r\n${LENGTH_2}\r\nok`],
  ["a folded value", `${OK}X: a\r\n b\r\n${LENGTH_2}\r\nok`],
  ["a field without a name", `${OK}: a\r\n${LENGTH_2}\r\nok`],
  ["a space in a name", `${OK}X Y: a\r\n${LENGTH_2}\r\nok`],
  ["a line without a colon", `${OK}X\r\n${LENGTH_2}\r\nok`],
  ["HTTP/2.0", `HTTP/2.0 200 OK\r\n${LENGTH_2}\r\nok`],
  ["HTTP/1.2", `HTTP/1.2 200 OK\r\n${LENGTH_2}\r\nok`],
  ["small letters", `http/1.1 200 OK\r\n${LENGTH_2}\r\nok`],
  ["a status of two digits", `HTTP/1.1 20 OK\r\n${LENGTH_2}\r\nok`],
  ["a status of four digits", `HTTP/1.1 2000 OK\r\n${LENGTH_2}\r\nok`],
  ["a status below 100", `HTTP/1.1 099 OK\r\n${LENGTH_2}\r\nok`],
  ["a NUL in the reason", `HTTP/1.1 200 O\0K\r\n${LENGTH_2}\r\nok`],
  ["HTTP/0.9", "<html>ok</html>"],
  ["another protocol", "SSH-2.0-OpenSSH_9.0\r\n\r\n"],
  ["an empty line in front", `\r\n${OK}${LENGTH_2}\r\nok`],
  ["101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"],
  [
    "a body behind an interim answer",
    `HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\nEVIL${OK}${LENGTH_2}\r\nok`,
  ],
  ["interim answers without end", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)],
  ["too many fields", `${OK}${"X: y\r\n".repeat(120)}${LENGTH_2}\r\nok`],
  ["too large a head", `${OK}X: ${"y".repeat(70_000)}\r\n${LENGTH_2}\r\nok`],
];

const BAD_BODIES: readonly (readonly [name: string, body: string])[] = [
  ["0x in a chunk size", "0x2\r\nok\r\n0\r\n\r\n"],
  ["a space behind a chunk size", "2 \r\nok\r\n0\r\n\r\n"],
  ["LF behind a chunk size", "2\nok\r\n0\r\n\r\n"],
  ["LF behind chunk data", "2\r\nok\n0\r\n\r\n"],
  ["more chunk data than its size", "2\r\nokay\r\n0\r\n\r\n"],
  ["a chunk size above 2^64", "10000000000000002\r\nok\r\n0\r\n\r\n"],
  ["LF in a chunk extension", "2;a\nb\r\nok\r\n0\r\n\r\n"],
  ["an answer in the place of trailers", `2\r\nok\r\n0\r\n${EVIL}`],
  ["a folded trailer", "2\r\nok\r\n0\r\nX: a\r\n b\r\n\r\n"],
];

export const SPLITTING: readonly SplittingCase[] = [
  ...BAD_HEADS.map(([name, head]) => gives(`head: ${name}`, BAD, head)),
  ...BAD_BODIES.map(([name, body]) => gives(`body: ${name}`, "cut", [`${OK}${CHUNKED}\r\n`, body])),
  gives("a body cut short by the end", "cut", `${OK}Content-Length: 10\r\n\r\nok`, { ends: true }),
  gives("chunks cut short by the end", "cut", `${OK}${CHUNKED}\r\n2\r\nok\r\n`, { ends: true }),
  gives("a second answer behind the first", [200, "ok"], `${OK}${LENGTH_2}\r\nok${EVIL}`),
  gives("a second answer later", [200, "ok"], [`${OK}${LENGTH_2}\r\nok`, EVIL]),
  gives("a second answer behind chunks", [200, "ok"], `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n${EVIL}`),
  gives("a second answer behind an empty one", [200, ""], `${OK}Content-Length: 0\r\n\r\n${EVIL}`),
  gives("more body than its length", [200, "ok"], `${OK}${LENGTH_2}\r\nokEVIL`),
  gives("HEAD with a body", [200, ""], `${OK}Content-Length: ${EVIL.length}\r\n\r\n${EVIL}`, { method: "HEAD" }),
  gives("HEAD with a body, later", [200, ""], [`${OK}Content-Length: ${EVIL.length}\r\n\r\n`, EVIL], {
    method: "HEAD",
  }),
  gives("HEAD with chunks", [200, ""], `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n${EVIL}`, { method: "HEAD" }),
  gives("204 with a body", [204, ""], `HTTP/1.1 204 No Content\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`),
  gives("204 with chunks", [204, ""], `HTTP/1.1 204 No Content\r\n${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n${EVIL}`),
  gives("304 with a body", [304, ""], `HTTP/1.1 304 Not Modified\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`),
  gives("304 with chunks", [304, ""], `HTTP/1.1 304 Not Modified\r\n${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n`),
  gives("103 and then the answer", [200, "ok"], `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}${LENGTH_2}\r\nok`),
  gives("a body to the end of the connection", [200, "ok"], `${OK}\r\nok`, { ends: true }),
  gives("an answer of HTTP/1.0", [200, "ok"], `HTTP/1.0 200 OK\r\n${LENGTH_2}\r\nok`),
  gives("Connection names the length", [200, "ok"], `${OK}Connection: content-length\r\n${LENGTH_2}\r\nok`),
  gives("trailers that frame", [200, "ok"], `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\nContent-Length: 4\r\nX-Sum: 1\r\n\r\n`),
  gives("an encoded line end in a value", [200, "ok"], `${OK}Location: /%0d%0aSet-Cookie:%20evil\r\n${LENGTH_2}\r\nok`),
];
