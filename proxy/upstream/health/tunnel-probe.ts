// A TCP probe of an instance behind a sidecar: the sidecar is asked for a connection to its application, as for opaque bytes.
//
// A connection to the sidecar itself would say nothing of the application.
import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { formatAddress } from "#config/model/address.ts";
import { TUNNEL_PROTOCOL } from "../tunnel.ts";
import { openSession, withinTimeout } from "./http2-session.ts";
import type { Probe, ProbeTarget } from "./probe.ts";
import { converse } from "./tcp-probe.ts";

export function makeTunnelProbe(target: ProbeTarget): Probe {
  return {
    async check() {
      const session = await openSession(target);
      try {
        const stream = await withinTimeout(target, session, () => openTunnel(session, target));
        await converse(stream, target);
        stream.close();
      } finally {
        session.destroy();
      }
      return "healthy";
    },
    close: () => undefined,
  };
}

async function openTunnel(session: ClientHttp2Session, { endpoint }: ProbeTarget): Promise<ClientHttp2Stream> {
  // Whether there is extended CONNECT is said in the peer's settings (RFC 8441 §3).
  await once(session, "remoteSettings");
  const authority = formatAddress(endpoint);
  const stream = session.request(
    { ":method": "CONNECT", ":scheme": "https", ":authority": authority, ":path": "/", ":protocol": TUNNEL_PROTOCOL },
    { endStream: false },
  );
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("close", () => reject(new Error(`Cannot reach ${authority}: its sidecar closed the stream`)));
    stream.once("response", (head) => {
      const { ":status": status = 0, "proxy-status": cause } = head;
      if (status >= 200 && status < 300) resolve(stream);
      else reject(new Error(`Cannot reach ${authority}: its sidecar answered ${status}${describe(cause)}`));
    });
  });
}

function describe(cause: string | readonly string[] | undefined): string {
  return typeof cause === "string" ? `: ${cause}` : "";
}
