// SO_ORIGINAL_DST: where a captured connection wanted to go before iptables sent it here. Linux, through node:ffi.
import type { Socket } from "node:net";
import type { SocketAddress } from "#config/model/address.ts";
import { HeddleError } from "#lib/errors.ts";
import { loadLibc } from "#lib/libc.ts";
import { descriptorOf } from "#proxy/wire/accept.ts";

const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const SOCKADDR_LENGTH = 28;

/** Of an accepted socket; undefined = the connection was not redirected. */
export type OriginalDestination = (socket: Socket) => SocketAddress | undefined;

type GetSockOpt = (descriptor: number, level: number, option: number, value: Buffer, length: Buffer) => number;

/** Loads libc; call it once, when a listener needs it. Throws where Node has no `node:ffi`. */
export function loadOriginalDestination(): OriginalDestination {
  const getsockopt = loadGetSockOpt();
  const value = Buffer.alloc(SOCKADDR_LENGTH);
  const length = Buffer.alloc(4);
  return (socket) => {
    const descriptor = descriptorOf(socket);
    if (descriptor < 0) return undefined;
    // A dual-stack listener sees IPv4 peers as `::ffff:`, and their original destination is kept under SOL_IP.
    const isIpv6 = socket.remoteFamily === "IPv6" && !(socket.remoteAddress ?? "").startsWith("::ffff:");
    length.writeUInt32LE(SOCKADDR_LENGTH);
    if (getsockopt(descriptor, isIpv6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, value, length) !== 0) return undefined;
    return parseSocketAddress(value, isIpv6);
  };
}

function loadGetSockOpt(): GetSockOpt {
  try {
    return loadLibc<{ getsockopt: GetSockOpt }>({
      getsockopt: { return: "int32", arguments: ["int32", "int32", "int32", "buffer", "buffer"] },
    }).getsockopt;
  } catch (error) {
    throw new HeddleError(
      "HDL_NO_ORIGINAL_DESTINATION",
      "Cannot read original destinations: this Node has no node:ffi (26.10 or later on Linux with glibc is needed)",
      { cause: error },
    );
  }
}

/** `struct sockaddr_in` and `sockaddr_in6`. */
export function parseSocketAddress(value: Buffer, isIpv6: boolean): SocketAddress {
  const port = value.readUInt16BE(2);
  if (!isIpv6) return { address: `${value[4]}.${value[5]}.${value[6]}.${value[7]}`, port };
  const groups: string[] = [];
  for (let i = 0; i < 8; i++) groups.push(value.readUInt16BE(8 + 2 * i).toString(16));
  // The one canonical way to write it (RFC 5952) is what URL does.
  return { address: new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1), port };
}
