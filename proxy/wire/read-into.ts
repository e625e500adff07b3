// Has a socket that exists already read into a buffer of ours, as `onread` does for sockets that we open. Node's own fields are used
// here and nowhere else: see docs/decisions/0008-accepted-tls-reads-into-one-buffer.md.
import type { Socket } from "node:net";

/** Node's names of the fields that the documented option `onread` sets, by what they describe themselves as. */
const BUFFER = "kBuffer";
const CALLBACK = "kBufferCb";
let bufferField: symbol | undefined = undefined;
let callbackField: symbol | undefined = undefined;

/**
 * From now on bytes come to `onRead`, in `buffer`, and not as 'data'; false = read no more for now. What was read before stays to be read from the socket.
 * Answers false, with nothing changed, where this Node is not as we know it. The self-test of accept.ts proves at start that
 * bytes really arrive.
 */
export function readInto(socket: Socket, buffer: Buffer, onRead: (length: number) => boolean): boolean {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  if (typeof handle !== "object" || handle === null) return false;
  if (!("useUserBuffer" in handle) || typeof handle.useUserBuffer !== "function") return false;
  // The same for all sockets; to look for them each time is a tenth of what a TLS connection allocates.
  bufferField ??= fieldOf(socket, BUFFER);
  callbackField ??= fieldOf(socket, CALLBACK);
  if (bufferField === undefined || callbackField === undefined) return false;
  const fields = socket as unknown as Record<symbol, unknown>; // as: fields that the types do not know
  if (fields[bufferField] !== null || fields[callbackField] !== null) return false;
  fields[bufferField] = buffer;
  fields[callbackField] = onRead;
  handle.useUserBuffer(buffer);
  return true;
}

function fieldOf(socket: Socket, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === description);
}
