// Runs alone in a network namespace: applications, a proxy, a client whose connections iptables redirects to the proxy.
//
// 10.96.0.0/16 and fd96::/64 are services' addresses, behind which there is no machine; 10.98.0.1 and fd98::1 a machine that is
// no part of the mesh. The client calls from 10.97.0.1 and fd97::1: only what comes from there is redirected, as a pod's rules
// leave out the proxy's own user.
import { execFileSync } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";

import { startHttpApp, startTcpApp } from "../apps.ts";
import { cluster, httpFilter, Proxy, tcpFilter } from "../proxy.ts";
import { FAMILIES, type Family, type Findings } from "./findings.ts";
import { getIptables } from "./iptables.ts";

const CAPTURE = 15_001;
const NETS = {
  IPv4: { loopback: "127.0.0.1", client: "10.97.0.1", service: "10.96.0.1", stranger: "10.98.0.1", bits: 32 },
  IPv6: { loopback: "::1", client: "fd97::1", service: "fd96::1", stranger: "fd98::1", bits: 128 },
} as const;

function setUp(): void {
  const tools = getIptables();
  const libraries = (tools.env["LD_LIBRARY_PATH"] ?? "").split(":").find((folder) => folder.includes("x86_64"));
  const env = libraries === undefined ? tools.env : { ...tools.env, XTABLES_LIBDIR: `${libraries}/xtables` };
  const run = (program: string, line: string): void => {
    execFileSync(tools.file(program), line.split(" "), { env, stdio: ["ignore", "ignore", "inherit"] });
  };
  run("ip", "link set lo up");
  for (const { client, stranger, bits } of Object.values(NETS))
    for (const address of [client, stranger])
      run("ip", `addr add ${address}/${bits} dev lo${bits === 128 ? " nodad" : ""}`);
  // Services' addresses lead nowhere but need a way out.
  run("ip", "route add 10.96.0.0/16 dev lo");
  run("ip", "-6 route add fd96::/64 dev lo");
  run("iptables-nft", `-t nat -A OUTPUT -p tcp -s ${NETS.IPv4.client} -j REDIRECT --to-ports ${CAPTURE}`);
  run("ip6tables-nft", `-t nat -A OUTPUT -p tcp -s ${NETS.IPv6.client} -j REDIRECT --to-ports ${CAPTURE}`);
}

function captureListener(family: Family): unknown {
  const { loopback, service, bits } = NETS[family];
  const inspector = (name: string, type: string): object => ({
    name,
    typed_config: { "@type": `type.googleapis.com/envoy.extensions.filters.listener.${type}` },
  });
  const range = { address_prefix: service, prefix_len: bits };
  return {
    name: `capture-${family}`,
    address: { socket_address: { address: loopback, port_value: CAPTURE } },
    traffic_direction: "OUTBOUND",
    listener_filters: [
      inspector("original_dst", "original_dst.v3.OriginalDst"),
      inspector("tls", "tls_inspector.v3.TlsInspector"),
      inspector("http", "http_inspector.v3.HttpInspector"),
    ],
    listener_filters_timeout: "1s",
    continue_on_listener_filters_timeout: true,
    filter_chains: [
      {
        name: "service",
        filter_chain_match: {
          destination_port: 80,
          prefix_ranges: [range],
          transport_protocol: "raw_buffer",
          application_protocols: ["http/1.0", "http/1.1", "h2c"],
        },
        filters: [httpFilter("service", "service")],
      },
      {
        name: "greeter",
        filter_chain_match: { destination_port: 25, prefix_ranges: [range] },
        filters: [tcpFilter("greeter", "greeter")],
      },
    ],
    default_filter_chain: { name: "unknown", filters: [tcpFilter("unknown", "original")] },
  };
}

/** Connects from the client's address and says something; everything until the end, or as many bytes as are asked for. */
async function call(family: Family, host: string, port: number, text: string, length: number): Promise<string> {
  const socket = net.connect({ host, port, localAddress: NETS[family].client });
  let answer = "";
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString();
    if (answer.length >= length) socket.destroy();
  });
  socket.on("error", () => undefined);
  if (text !== "") socket.write(text);
  await new Promise((resolve) => socket.once("close", resolve));
  return answer;
}

async function listenAt(host: string, port: number, onConnection: (socket: net.Socket) => void): Promise<void> {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  server.listen(port, host);
  await once(server, "listening");
}

async function findFor(family: Family): Promise<Findings[Family]> {
  const { service, stranger } = NETS[family];
  const request = "GET /to-the-service HTTP/1.1\r\nhost: anything\r\nconnection: close\r\n\r\n";
  return {
    service: await call(family, service, 80, request, Infinity),
    greeted: await call(family, service, 25, "", 13),
    unknown: await call(family, stranger, 8080, "GET / HTTP/1.1\r\nhost: a\r\n\r\n", 20),
    unknownGreeted: await call(family, stranger, 25, "", 14),
    nobody: await call(family, stranger, 9, "x", Infinity),
  };
}

async function askDatagram(): Promise<string> {
  const server = dgram.createSocket("udp4");
  server.on("message", (message, from) => server.send(message, from.port, from.address));
  server.bind(5353, NETS.IPv4.stranger);
  await once(server, "listening");
  const client = dgram.createSocket("udp4");
  client.bind(0, NETS.IPv4.client);
  await once(client, "listening");
  client.send(`datagram to ${NETS.IPv4.stranger}`, 5353, NETS.IPv4.stranger);
  const [answer] = (await once(client, "message")) as [Buffer];
  return String(answer);
}

setUp();
const http = await startHttpApp();
const greeter = await startTcpApp((socket) => void socket.write("220 service\r\n"));
for (const family of FAMILIES) {
  await listenAt(NETS[family].stranger, 8080, (socket) => {
    socket.on("data", (bytes: Buffer) => void socket.write(`raw ${bytes.toString()}`));
  });
  await listenAt(NETS[family].stranger, 25, (socket) => void socket.write("220 stranger\r\n"));
}
const proxy = await Proxy.start({
  listeners: FAMILIES.map(captureListener),
  clusters: [
    cluster("service", http.port),
    cluster("greeter", greeter.port),
    { name: "original", type: "ORIGINAL_DST", lb_policy: "CLUSTER_PROVIDED", connect_timeout: "2s" },
  ],
});
try {
  const found: Findings = {
    IPv4: await findFor("IPv4"),
    IPv6: await findFor("IPv6"),
    datagram: await askDatagram(),
  };
  process.stdout.write(`\n${JSON.stringify(found)}\n`);
} finally {
  await proxy.stop();
}
// Servers here end with the process.
process.exit(0);
