// Connections of our own to the application, past the mesh: to the pod's own address, as the kubelet would connect.
import { once } from "node:events";
import net, { isIPv6, type Socket } from "node:net";
import tls, { type TLSSocket } from "node:tls";

/** What the packet filter knows our connections to the application by; others to the pod's own address come back to the mesh. */
const OWN_SOURCE = { 4: "127.0.0.6", 6: "::6" } as const;

/** Resolves with a connection; rejects with the reason, or when the signal says so. The caller ends it. */
export async function dialApplication(address: string, port: number, signal: AbortSignal): Promise<Socket> {
  const localAddress = OWN_SOURCE[isIPv6(address) ? 6 : 4];
  try {
    return await connect({ host: address, port, localAddress, signal });
  } catch (error) {
    // Without interception ::6 is nobody's address, and then there is nothing to pass by.
    if (error instanceof Error && "code" in error && (error.code === "EADDRNOTAVAIL" || error.code === "EINVAL"))
      return connect({ host: address, port, signal });
    throw error;
  }
}

async function connect(options: net.TcpSocketConnectOpts & { readonly signal: AbortSignal }): Promise<Socket> {
  const socket = net.connect(options);
  // An error that comes while nobody waits for one must not end the process.
  socket.on("error", () => undefined);
  try {
    await once(socket, "connect", { signal: options.signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/** TLS on it that believes any certificate, as the kubelet's probes do. */
export async function encryptUnverified(socket: Socket, signal: AbortSignal): Promise<TLSSocket> {
  const secure = tls.connect({ socket, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"] });
  secure.on("error", () => undefined);
  try {
    await once(secure, "secureConnect", { signal });
  } catch (error) {
    secure.destroy();
    socket.destroy();
    throw error;
  }
  return secure;
}
