// Applications that speak five protocols, and one question to each that only its own protocol answers.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import tls from "node:tls";

import * as grpc from "@grpc/grpc-js";
import { WebSocket, WebSocketServer } from "ws";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { listen, startTcpApp, type App } from "./apps.ts";
import type { OnEnd } from "./cleanup.ts";
import { freePort, startRedis } from "./opaque-servers.ts";

/** HTTP/1 with WebSocket; gRPC, that is h2c; a server that speaks first; Redis; TLS of the application's own. */
export const APPS = ["web", "rpc", "greet", "cache", "vault"] as const;
export type AppName = (typeof APPS)[number];

const GREETING = "220 mail.test ESMTP\r\n";
const asIs = (bytes: Buffer): Buffer => bytes;
const METHOD = {
  path: "/test.Echo/Unary",
  requestStream: false,
  responseStream: false,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

/** Starts all of them; gives the port of each. */
export async function startApps(onEnd: OnEnd): Promise<Readonly<Record<AppName, number>>> {
  const web = await startWeb();
  onEnd(() => web.stop());
  const greet = await startTcpApp((socket) => {
    socket.write(GREETING);
    socket.pipe(socket);
  });
  onEnd(() => greet.stop());
  const vault = await startVault();
  onEnd(() => vault.stop());
  const cache = await freePort();
  await startRedis(onEnd, cache);
  return { web: web.port, rpc: await startRpc(onEnd), greet: greet.port, cache, vault: vault.port };
}

/** Throws where what comes back is not the application's answer. */
export async function ask(app: AppName, port: number): Promise<void> {
  switch (app) {
    case "web":
      await askWeb(port);
      await askWebSocket(port);
      break;
    case "rpc":
      await askRpc(port);
      break;
    case "greet":
      assert.equal(await talk(net.connect(port, "127.0.0.1"), "hello", GREETING.length + 5), `${GREETING}hello`);
      break;
    case "cache": {
      // A key that looks like the target of a request.
      const answer = "+OK\r\n$1\r\n1\r\n";
      const text = await talk(net.connect(port, "127.0.0.1"), "SET /cart 1\r\nGET /cart\r\n", answer.length);
      assert.equal(text, answer);
      break;
    }
    case "vault": {
      const socket = tls.connect({ host: "127.0.0.1", port, servername: "vault.test", rejectUnauthorized: false });
      await once(socket, "secureConnect");
      assert.equal(socket.getPeerCertificate().subjectaltname, "DNS:vault.test");
      assert.equal(await talk(socket, "secret", 6), "secret");
      break;
    }
    default:
      app satisfies never;
  }
}

/** A request without an id was not read as HTTP by any proxy. */
async function startWeb(): Promise<App> {
  const server = http.createServer((request, response) => {
    response.end(`${request.url} by HTTP/${request.httpVersion}${"x-request-id" in request.headers ? "" : " unread"}`);
  });
  new WebSocketServer({ server }).on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  return listen(server, () => server.closeAllConnections());
}

async function startRpc(onEnd: OnEnd): Promise<number> {
  const server = new grpc.Server();
  server.addService(
    { Unary: METHOD },
    {
      Unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>): void =>
        answer(null, Buffer.from(`${String(call.request)} ${call.metadata.get("x-request-id").length}`)),
    },
  );
  onEnd(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

async function startVault(): Promise<App> {
  const { chainPem, keyPem } = await (await makeAuthority()).issue({ dns: ["vault.test"] });
  const sockets = new Set<tls.TLSSocket>();
  const server = tls.createServer({ cert: chainPem, key: keyPem }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  return listen(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

async function askWeb(port: number): Promise<void> {
  const request = http.get({ host: "127.0.0.1", port, path: "/a", agent: false });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  let body = "";
  for await (const bytes of response) body += String(bytes);
  assert.deepEqual([response.statusCode, body], [200, "/a by HTTP/1.1"]);
}

async function askWebSocket(port: number): Promise<void> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/chat`);
  await once(client, "open");
  client.send("hello");
  const [message] = (await once(client, "message")) as [Buffer];
  assert.equal(String(message), "hello");
  client.close();
  await once(client, "close");
}

async function askRpc(port: number): Promise<void> {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      const options = { deadline: Date.now() + 30_000 };
      client.makeUnaryRequest(METHOD.path, asIs, asIs, Buffer.from("hello"), options, (error, bytes) =>
        error === null ? resolve(String(bytes)) : reject(error),
      );
    });
    assert.equal(answer, "hello 1");
  } finally {
    client.close();
  }
}

/** What comes back to `words`, up to so many bytes. */
async function talk(socket: net.Socket, words: string, length: number): Promise<string> {
  socket.write(words);
  let text = "";
  for await (const bytes of socket) {
    text += String(bytes);
    if (text.length >= length) break;
  }
  return text;
}
