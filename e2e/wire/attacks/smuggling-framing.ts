// Requests whose length two parsers could read differently: lengths, codings, both. Techniques as in PortSwigger's desync
// research (CL.TE, TE.CL, TE.TE, CL.0, 0.CL, TE.0), http-garden, and the errata of many servers.
import { HIDDEN, HOST, refused, served, type SmugglingCase } from "./smuggling-case.ts";

const POST = `POST /first HTTP/1.1\r\n${HOST}`;
const CHUNKED = "Transfer-Encoding: chunked\r\n";
const EMPTY_CHUNKS = "0\r\n\r\n";
/** A length that covers the hidden request, and one that covers only the chunks in front of it. */
const LONG = EMPTY_CHUNKS.length + HIDDEN.length;

/** Lengths that are none, in front of five bytes. */
const BAD_LENGTHS: readonly (readonly [name: string, value: string])[] = [
  ["a list of equal lengths", "5, 5"],
  ["a list of equal lengths without a space", "5,5"],
  ["a list of different lengths", "5, 0"],
  ["a list with an empty element", "5,"],
  ["a plus sign", "+5"],
  ["a minus sign", "-5"],
  ["minus zero", "-0"],
  ["hexadecimal", "0x5"],
  ["octal with a letter", "0o5"],
  ["a fraction", "5.0"],
  ["an exponent", "5e0"],
  ["a space between digits", "0 5"],
  ["a tab between digits", "0\t5"],
  ["a semicolon", "5;"],
  ["quotes", '"5"'],
  ["an underscore", "0_5"],
  ["nothing", ""],
  ["a space", " "],
  ["a letter behind", "5a"],
  ["2^64", "18446744073709551616"],
  ["2^64 + 5", "18446744073709551621"],
  ["2^63 + 5", "9223372036854775813"],
  ["2^32 + 5 with many zeros", "0000000000000004294967301"],
  ["a superscript digit", "\xb2"],
  ["a full-width digit", "\xef\xbc\x95"],
  ["a no-break space", "\xa05"],
  ["a vertical tab", "\x0b5"],
  ["a form feed behind", "5\x0c"],
  ["a NUL behind", "5\0"],
  ["a DEL behind", "5\x7f"],
  ["a bare CR", "5\r0"],
];

/** Whole header lines, without their CRLF, that some parser takes for a coding. */
const BAD_CODINGS: readonly (readonly [name: string, line: string, status?: number])[] = [
  ["a letter in front", "Transfer-Encoding: xchunked"],
  ["a letter behind", "Transfer-Encoding: chunkedx"],
  ["a part of the word", "Transfer-Encoding: chunk"],
  ["a space before the colon", "Transfer-Encoding : chunked"],
  ["a tab before the colon", "Transfer-Encoding\t: chunked"],
  ["a vertical tab before the colon", "Transfer-Encoding\x0b: chunked"],
  ["a form feed before the colon", "Transfer-Encoding\x0c: chunked"],
  ["a NUL before the colon", "Transfer-Encoding\0: chunked"],
  ["a CR before the colon", "Transfer-Encoding\r: chunked"],
  ["a LF before the colon", "Transfer-Encoding\n: chunked"],
  ["a CRLF before the colon", "Transfer-Encoding\r\n: chunked"],
  ["a no-break space before the colon", "Transfer-Encoding\xa0: chunked"],
  ["a space at the beginning", " Transfer-Encoding: chunked"],
  ["a tab at the beginning", "\tTransfer-Encoding: chunked"],
  ["a NUL at the beginning", "\0Transfer-Encoding: chunked"],
  ["a CR at the beginning", "\rTransfer-Encoding: chunked"],
  ["a LF at the beginning", "\nTransfer-Encoding: chunked"],
  ["a byte order mark at the beginning", "\xef\xbb\xbfTransfer-Encoding: chunked"],
  ["behind a bare LF in a value", "X: x\nTransfer-Encoding: chunked"],
  ["behind a bare CR in a value", "X: x\rTransfer-Encoding: chunked"],
  ["behind a folded value", "X: x\r\n Transfer-Encoding: chunked"],
  ["behind LF CR in a value", "X: x\n\rTransfer-Encoding: chunked"],
  ["folded", "Transfer-Encoding:\r\n chunked"],
  ["folded with a tab", "Transfer-Encoding:\r\n\tchunked"],
  ["folded behind", "Transfer-Encoding: chunked\r\n , identity"],
  ["folded with a bare LF", "Transfer-Encoding:\n chunked"],
  ["a vertical tab in front", "Transfer-Encoding:\x0bchunked"],
  ["a form feed in front", "Transfer-Encoding:\x0cchunked"],
  ["a no-break space in front", "Transfer-Encoding: \xa0chunked"],
  ["a vertical tab behind", "Transfer-Encoding: chunked\x0b"],
  ["a NUL behind", "Transfer-Encoding: chunked\0"],
  ["a DEL behind", "Transfer-Encoding: chunked\x7f"],
  ["a high byte behind", "Transfer-Encoding: chunked\x80"],
  ["0xff behind", "Transfer-Encoding: chunked\xff"],
  ["a bare CR behind", "Transfer-Encoding: chunked\r\r"],
  ["a Kelvin sign for k", "Transfer-Encoding: chun\xe2\x84\xaaed"],
  ["a NUL inside", "Transfer-Encoding: chu\0nked"],
  ["single quotes", "Transfer-Encoding: 'chunked'"],
  ["quotes", 'Transfer-Encoding: "chunked"'],
  ["a comma behind", "Transfer-Encoding: chunked,"],
  ["a comma in front", "Transfer-Encoding: ,chunked"],
  ["a semicolon in front", "Transfer-Encoding: ;chunked"],
  ["a parameter", "Transfer-Encoding: chunked;q=1"],
  ["an empty parameter", "Transfer-Encoding: chunked;"],
  ["identity behind", "Transfer-Encoding: chunked, identity"],
  ["identity in front", "Transfer-Encoding: identity, chunked"],
  ["identity alone", "Transfer-Encoding: identity"],
  ["twice in a list", "Transfer-Encoding: chunked, chunked"],
  ["gzip behind", "Transfer-Encoding: chunked, gzip"],
  ["an unknown one behind", "Transfer-Encoding: chunked, cow"],
  ["an unknown one in front", "Transfer-Encoding: cow, chunked"],
  ["gzip in front", "Transfer-Encoding: gzip, chunked", 501],
  ["nothing", "Transfer-Encoding:"],
  ["two lines, the second unknown", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x"],
  ["two lines, the first unknown", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked"],
  ["two lines in other letters", "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked"],
  ["two lines, the second empty", "Transfer-Encoding: chunked\r\nTransfer-Encoding:"],
  ["two lines that make identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"],
  ["without a colon", "Transfer-Encoding chunked"],
  ["an equals sign", "Transfer-Encoding= chunked"],
  ["a space inside the name", "Transfer Encoding: chunked"],
  ["a second colon", "Transfer-Encoding:: chunked"],
];

export const FRAMING: readonly SmugglingCase[] = [
  // Two lengths, or one that is none.
  refused("two lengths", `${POST}Content-Length: 0\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`),
  refused(
    "two lengths, the longer first",
    `${POST}Content-Length: ${HIDDEN.length}\r\nContent-Length: 0\r\n\r\n${HIDDEN}`,
  ),
  refused("two equal lengths", `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`),
  refused("two lengths in other letters", `${POST}Content-Length: 5\r\nCONTENT-LENGTH: 0\r\n\r\nhello`),
  refused("a second length behind a bare LF", `${POST}Content-Length: 5\nContent-Length: 0\r\n\r\nhello`),
  refused("a length with a space before the colon", `${POST}Content-Length : 5\r\n\r\nhello`),
  refused("a length with a NUL before the colon", `${POST}Content-Length\0: 5\r\n\r\nhello`),
  refused("a length with a space at the beginning", `${POST} Content-Length: 5\r\n\r\nhello`),
  refused("a length as the first line, folded", `POST /first HTTP/1.1\r\n Content-Length: 5\r\n${HOST}\r\nhello`),
  refused("a folded length", `${POST}Content-Length:\r\n 5\r\n\r\nhello`),
  refused("a length behind a folded one", `${POST}Content-Length: 0\r\n 5\r\n\r\nhello`),
  ...BAD_LENGTHS.map(([name, value]) =>
    refused(`a length with ${name}`, `${POST}Content-Length: ${value}\r\n\r\nhello`),
  ),
  served("a length with leading zeros", `${POST}Content-Length: 005\r\n\r\nhello`, ["POST /first 5"]),
  served("a length with a tab in front", `${POST}Content-Length:\t5\r\n\r\nhello`, ["POST /first 5"]),
  served("a length without a space", `${POST}Content-Length:5\r\n\r\nhello`, ["POST /first 5"]),
  served("a length with spaces around", `${POST}Content-Length:  5 \t\r\n\r\nhello`, ["POST /first 5"]),

  // A length and a coding.
  refused("CL.TE", `${POST}Content-Length: ${LONG}\r\n${CHUNKED}\r\n${EMPTY_CHUNKS}${HIDDEN}`),
  refused("CL.TE in the other order", `${POST}${CHUNKED}Content-Length: ${LONG}\r\n\r\n${EMPTY_CHUNKS}${HIDDEN}`),
  refused("TE.CL", `${POST}Content-Length: 4\r\n${CHUNKED}\r\n${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`),
  refused("TE with a length of 0", `${POST}Content-Length: 0\r\n${CHUNKED}\r\n${EMPTY_CHUNKS}`),
  refused("TE with a length that is none", `${POST}Content-Length: x\r\n${CHUNKED}\r\n${EMPTY_CHUNKS}`),
  refused(
    "TE with a length in a GET",
    `GET /first HTTP/1.1\r\n${HOST}Content-Length: 5\r\n${CHUNKED}\r\n${EMPTY_CHUNKS}`,
  ),
  refused("a coding in HTTP/1.0", `POST /first HTTP/1.0\r\n${HOST}${CHUNKED}\r\n${EMPTY_CHUNKS}`),
  refused(
    "a coding in HTTP/1.0 that keeps alive",
    `POST /first HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n${CHUNKED}\r\n${EMPTY_CHUNKS}${HIDDEN}`,
  ),

  // Codings that are none, beside a length and without one.
  ...BAD_CODINGS.flatMap(([name, line, status]) => {
    // Where the line alone is wrong, a length beside it changes nothing; where the coding is, the length must not save it.
    const body = `\r\n\r\n${EMPTY_CHUNKS}${HIDDEN}`;
    return [
      refused(`TE.TE: ${name}`, `${POST}${line}${body}`, status),
      refused(`TE.TE with a length: ${name}`, `${POST}Content-Length: ${LONG}\r\n${line}${body}`, status),
    ];
  }),
  served("a coding in capitals", `${POST}Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, ["POST /first 5"]),
  served("a coding with a tab in front", `${POST}Transfer-Encoding:\tchunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n`, [
    "POST /first 5",
  ]),
  // Names that only look like framing pass, and frame nothing.
  served("Transfer_Encoding frames nothing", `${POST}Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello`, [
    "POST /first 5",
  ]),
  served("Content_Length frames nothing", `${POST}Content_Length: 35\r\n\r\n${HIDDEN}`, [
    "POST /first 0",
    "GET /HIDDEN 0",
  ]),
  served(
    "X-Transfer-Encoding frames nothing",
    `${POST}X-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello`,
    ["POST /first 5"],
  ),

  // Bodies where some servers expect none, and none where they do (CL.0, 0.CL, TE.0).
  served("CL.0: a GET with a body", `GET /first HTTP/1.1\r\n${HOST}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`, [
    `GET /first ${HIDDEN.length}`,
  ]),
  served(
    "CL.0: a DELETE with a body",
    `DELETE /first HTTP/1.1\r\n${HOST}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
    [`DELETE /first ${HIDDEN.length}`],
  ),
  served("CL.0: an OPTIONS with a body", `OPTIONS /first HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`, [
    "OPTIONS /first 5",
  ]),
  served("CL.0: a request behind a body", `${POST}Content-Length: 5\r\n\r\nhello${HIDDEN}`, [
    "POST /first 5",
    "GET /HIDDEN 0",
  ]),
  served(
    "TE.0: a GET with chunks",
    `GET /first HTTP/1.1\r\n${HOST}${CHUNKED}\r\n${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
    [`GET /first ${HIDDEN.length}`],
  ),
  served("TE.0: an OPTIONS with chunks", `OPTIONS /first HTTP/1.1\r\n${HOST}${CHUNKED}\r\n5\r\nhello\r\n0\r\n\r\n`, [
    "OPTIONS /first 5",
  ]),
  served("0.CL: a POST without a length", `${POST}\r\n${HIDDEN}`, ["POST /first 0", "GET /HIDDEN 0"]),
  served("0.CL: a length of zero", `${POST}Content-Length: 0\r\n\r\n${HIDDEN}`, ["POST /first 0", "GET /HIDDEN 0"]),
  served(
    "a HEAD with a body",
    [`HEAD /first HTTP/1.1\r\n${HOST}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`],
    [`HEAD /first ${HIDDEN.length}`],
  ),
  served("a rare method with a body", `SEARCH /first HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`, [
    "SEARCH /first 5",
  ]),

  // What Connection names: framing may not be taken away.
  refused("Connection names the length", `${POST}Connection: content-length\r\nContent-Length: 5\r\n\r\nhello`),
  refused(
    "Connection names the length among others",
    `${POST}Connection: keep-alive, Content-Length\r\nContent-Length: 5\r\n\r\nhello`,
  ),
  refused("Connection names the coding", `${POST}Connection: transfer-encoding\r\n${CHUNKED}\r\n${EMPTY_CHUNKS}`),
  refused("Connection names the host", `${POST}Connection: host\r\nContent-Length: 5\r\n\r\nhello`),
  served(
    "Connection names what may go",
    `${POST}Connection: x-secret, close-not\r\nX-Secret: 1\r\nContent-Length: 5\r\n\r\nhello`,
    ["POST /first 5"],
    /x-secret/i,
  ),
];
