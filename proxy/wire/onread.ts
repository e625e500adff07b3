// How plain sockets read (Node's `onread`): into the loop's one buffer, or into one of the wire's own.
import type { OnReadOpts } from "node:net";
import type { SocketWire } from "./socket-wire.ts";
import type { WireLoop } from "./wire-loop.ts";

/** `wireOf`: undefined until the wire is made. */
export function onreadOf(loop: WireLoop, wireOf: () => SocketWire | undefined): OnReadOpts {
  return {
    buffer() {
      const wire = wireOf();
      return (wire === undefined ? loop.readBuffer : wire.nextBuffer()) as Buffer; // as: Node goes on with what it has when given none
    },
    callback(length, bytes) {
      return wireOf()?.receive(bytes as Buffer, length) !== false; // as: one of ours
    },
  };
}
