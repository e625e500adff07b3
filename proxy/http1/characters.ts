// Which bytes may stand where in an HTTP/1 message (RFC 9110 §5.6.2, RFC 9112 §3.2), as tables.

function table(test: (byte: number) => boolean): Uint8Array {
  const made = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) if (test(byte)) made[byte] = 1;
  return made;
}

const TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Names and methods. */
export const IS_TOKEN = table((byte) => TCHAR.includes(String.fromCharCode(byte)));

/** Values: visible bytes, space, tab and obs-text; no other control byte, no DEL. */
export const IS_VALUE = table((byte) => byte === 9 || (byte >= 32 && byte !== 127));

/** A request target: visible ASCII, and no `#`, which some servers cut at and others do not. */
export const IS_TARGET = table((byte) => byte > 32 && byte < 127 && byte !== 35);

/** Host and authority: reg-name, IP literals, port (RFC 3986 §3.2.2, §3.2.3); no user information. */
export const IS_AUTHORITY = table((byte) =>
  "-._~!$&'()*+,;=%:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".includes(
    String.fromCharCode(byte),
  ),
);

export const CR = 13;
export const LF = 10;
export const SPACE = 32;
export const TAB = 9;
export const COLON = 58;

/** Does every byte of the range stand in the table? */
export function areAll(allowed: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (allowed[bytes[i] ?? 0] === 0) return false;
  return true;
}

/** Does every character of the text stand in the table? */
export function areCharacters(allowed: Uint8Array, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || allowed[code] === 0) return false;
  }
  return true;
}

export function isToken(text: string): boolean {
  return text !== "" && areCharacters(IS_TOKEN, text);
}
