// Opaque TCP: servers that speak first, half-closes both ways, real protocols with real clients.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { startTcpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { cluster, Proxy, tcpListener } from "./proxy.ts";
import { getRedis } from "./redis.ts";
import { until } from "./until.ts";

async function throughProxy(t: TestContext, onConnection: (socket: net.Socket) => void): Promise<number> {
  const app = await startTcpApp(onConnection);
  atEnd(t, () => app.stop());
  return proxyTo(t, app.port);
}

async function proxyTo(t: TestContext, port: number): Promise<number> {
  const proxy = await Proxy.start({ listeners: [tcpListener("tcp", "app")], clusters: [cluster("app", port)] });
  atEnd(t, () => proxy.stop());
  return proxy.port("tcp");
}

async function connect(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  atEnd(t, () => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** The end of one direction must not close the other. */
const HALF = { destroyOnReturn: false };

/** Everything until the peer's FIN. */
async function readAll(socket: net.Socket): Promise<string> {
  let text = "";
  for await (const bytes of socket.iterator(HALF)) text += String(bytes);
  return text;
}

/** One line of an answer after the other. */
async function* readLines(socket: net.Socket): AsyncGenerator<string, void> {
  let rest = "";
  for await (const bytes of socket.iterator(HALF)) {
    rest += String(bytes);
    for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
      yield rest.slice(0, end);
      rest = rest.slice(end + 2);
    }
  }
}

it("an SMTP server greets before the client has said anything, and a whole mail goes through", async (t) => {
  const mails: string[] = [];
  const port = await throughProxy(t, (socket) => void serveSmtp(socket, mails));
  const client = await connect(t, port);
  const lines = readLines(client);
  const expectCode = async (code: string): Promise<void> => {
    const { value } = await lines.next();
    assert.equal(value?.slice(0, 3), code, value ?? "the connection ended");
  };
  await expectCode("220");
  for (const [command, code] of [
    ["EHLO client.test", "250"],
    ["MAIL FROM:<a@test>", "250"],
    ["RCPT TO:<b@test>", "250"],
    ["DATA", "354"],
    [`Subject: hello\r\n\r\n${"line\r\n".repeat(10_000)}.`, "250"],
    ["QUIT", "221"],
  ] as const) {
    client.write(`${command}\r\n`);
    await expectCode(code);
  }
  assert.equal(mails[0]?.split("\n").length, 10_002);
});

/** RFC 5321, as much as a client needs for one mail. */
async function serveSmtp(socket: net.Socket, mails: string[]): Promise<void> {
  socket.write("220 mail.test ESMTP\r\n");
  let mail: string[] | undefined;
  for await (const line of readLines(socket)) {
    if (mail !== undefined) {
      if (line !== ".") {
        mail.push(line);
        continue;
      }
      mails.push(mail.join("\n"));
      mail = undefined;
      socket.write("250 queued\r\n");
    } else if (line === "DATA") {
      mail = [];
      socket.write("354 go ahead\r\n");
    } else if (line === "QUIT") socket.end("221 bye\r\n");
    else socket.write("250 ok\r\n");
  }
}

it("a MySQL server's binary greeting reaches a silent client", async (t) => {
  const greeting = Buffer.concat([
    Buffer.from([0x4a, 0, 0, 0, 10]),
    Buffer.from("8.4.0\0"),
    Buffer.from(Array.from({ length: 64 }, (_, i) => (i * 37) & 255)),
  ]);
  const port = await throughProxy(t, (socket) => void socket.write(greeting));
  const client = await connect(t, port);
  const [bytes] = (await once(client, "data")) as [Buffer];
  assert.deepEqual(bytes, greeting);
});

it("a client that ends its side still gets the answer", async (t) => {
  const port = await throughProxy(t, (socket) => void readAll(socket).then((text) => socket.end(`got ${text}`)));
  const client = await connect(t, port);
  client.end("question");
  assert.equal(await readAll(client), "got question");
});

it("a server that ends its side still hears the client", async (t) => {
  let heard = "";
  const port = await throughProxy(t, (socket) => {
    socket.end("that is all from me");
    void readAll(socket).then((text) => (heard = text));
  });
  const client = await connect(t, port);
  assert.equal(await readAll(client), "that is all from me");
  client.write("one ");
  client.end("two");
  await until("the server hears the rest", () => heard === "one two");
});

it("a connection that nobody answers is closed, not kept", async (t) => {
  const free = await startTcpApp(() => undefined);
  await free.stop();
  const client = net.connect(await proxyTo(t, free.port), "127.0.0.1");
  atEnd(t, () => client.destroy());
  // A reset is an answer too.
  client.on("error", () => undefined);
  client.resume();
  await new Promise((resolve) => client.once("close", resolve));
});

it("Redis: pipelines, large values and subscriptions", async (t) => {
  const port = await proxyTo(t, await startRedis(t));
  const client = await connect(t, port);
  const lines = readLines(client);
  const large = "x".repeat(1_000_000);
  client.write(`SET a 1\r\nINCR a\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$${large.length}\r\n${large}\r\nGET b\r\n`);
  const answers: string[] = [];
  for (let i = 0; i < 5; i++) answers.push((await lines.next()).value ?? "");
  assert.deepEqual(answers, ["+OK", ":2", "+OK", `$${large.length}`, large]);
  const subscriber = await connect(t, port);
  const events = readLines(subscriber);
  subscriber.write("SUBSCRIBE news\r\n");
  for (let i = 0; i < 6; i++) await events.next();
  client.write("PUBLISH news hello\r\n");
  const event: string[] = [];
  for (let i = 0; i < 7; i++) event.push((await events.next()).value ?? "");
  assert.equal(event.at(-1), "hello");
});

async function startRedis(t: TestContext): Promise<number> {
  const probe = await startTcpApp(() => undefined);
  await probe.stop();
  const options = ["--port", String(probe.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const { file, env } = getRedis();
  const child = spawn(file, options, { env, stdio: "ignore" });
  atEnd(t, () => child.kill("SIGKILL"));
  await until("Redis listens", async () => {
    const socket = net.connect(probe.port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    socket.destroy();
    return isOpen;
  });
  return probe.port;
}
