// Protocols that nobody told the proxy of, with their real servers and clients: through one sidecar, and through two.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import net from "node:net";
import { after, before, it, type TestContext } from "node:test";
import { promisify } from "node:util";

import { connect as connectNats } from "@nats-io/transport-node";
import { Kafka, logLevel } from "kafkajs";
import { createTransport } from "nodemailer";
import { SMTPServer } from "smtp-server";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { atEnd, type OnEnd } from "./cleanup.ts";
import { startWay, WAYS, type Way } from "./opaque-mesh.ts";
import { freePort, startKafka, startMariadb, startNats, startPostgres, startRedis } from "./opaque-servers.ts";

const run = promisify(execFile);
const APPS = ["mariadb", "smtp", "nats", "postgres", "redis", "kafka0", "kafka1"] as const;
type App = (typeof APPS)[number];

const closers: (() => unknown)[] = [];
const ports = new Map<App, number>();
const ways = new Map<Way, (app: string) => number>();

before(async () => {
  for (const app of APPS) ports.set(app, await freePort());
  for (const way of WAYS) ways.set(way, await startWay((close) => closers.push(close), way, Object.fromEntries(ports)));
});

after(async () => {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
});

function portOf(app: App): number {
  return ports.get(app) ?? 0;
}

function through(way: Way, app: App): number {
  return ways.get(way)?.(app) ?? 0;
}

function endOf(t: TestContext): OnEnd {
  return (close) => atEnd(t, close);
}

it("MariaDB, whose server greets first", async (t) => {
  const mariadb = await startMariadb(endOf(t), portOf("mariadb"));
  for (const way of WAYS)
    await t.test(`through ${way}`, async () => {
      const ask = async (sql: string): Promise<string> => {
        const server = ["-h", "127.0.0.1", "-P", String(through(way, "mariadb"))];
        const { stdout } = await run(
          mariadb.file("mariadb"),
          ["--no-defaults", ...server, "-u", "root", "--batch", "--skip-column-names", "-e", sql],
          { env: mariadb.env, maxBuffer: 20_000_000 },
        );
        return stdout.trim();
      };
      assert.equal(await ask("SELECT 6 * 7"), "42");
      const database = `shop${through(way, "mariadb")}`;
      await ask(
        `CREATE DATABASE ${database}; USE ${database}; CREATE TABLE items (name VARCHAR(20)); INSERT INTO items VALUES ('tea'), ('milk')`,
      );
      assert.equal(await ask(`SELECT COUNT(*) FROM ${database}.items`), "2");
      assert.equal((await ask("SELECT REPEAT('x', 5000000)")).length, 5_000_000);
    });
});

it("SMTP, whose server greets first and which goes over to TLS in the middle", async (t) => {
  const { chainPem, keyPem } = await (await makeAuthority()).issue({ dns: ["mail.test"] });
  const mails: string[] = [];
  const server = new SMTPServer({
    key: keyPem,
    cert: chainPem,
    authOptional: true,
    onData(stream, session, done) {
      let text = session.secure ? "secure " : "plain ";
      stream.on("data", (bytes: Buffer) => (text += bytes.toString()));
      stream.on("end", () => {
        mails.push(text);
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(portOf("smtp"), "127.0.0.1", resolve));
  atEnd(t, () => new Promise<void>((resolve) => server.close(() => resolve())));
  for (const way of WAYS)
    await t.test(`through ${way}`, async () => {
      const transport = createTransport({
        host: "127.0.0.1",
        port: through(way, "smtp"),
        requireTLS: true,
        tls: { rejectUnauthorized: false },
      });
      const body = `through ${way}\n${"a line of a mail\n".repeat(20_000)}`;
      await transport.sendMail({ from: "a@test", to: "b@test", subject: "hello", text: body });
      transport.close();
      const mail = mails.pop() ?? "";
      assert.match(mail, /^secure /);
      assert.equal(mail.split("a line of a mail").length, 20_001);
    });
});

it("NATS, whose server greets first", async (t) => {
  await startNats(endOf(t), portOf("nats"));
  for (const way of WAYS)
    await t.test(`through ${way}`, async () => {
      const options = { servers: `127.0.0.1:${through(way, "nats")}`, ignoreClusterUpdates: true };
      const [one, two] = await Promise.all([connectNats(options), connectNats(options)]);
      two.subscribe("sum", {
        callback: (_error, message) => {
          message.respond(String(message.string().length));
        },
      });
      await two.flush();
      const answer = await one.request("sum", "x".repeat(500_000), { timeout: 30_000 });
      assert.equal(answer.string(), "500000");
      let heard = 0;
      const all = new Promise<void>((resolve) => {
        two.subscribe("many", { callback: () => (++heard === 5000 ? resolve() : undefined) });
      });
      await two.flush();
      for (let i = 0; i < 5000; i++) one.publish("many", `message ${i}`);
      await all;
      await Promise.all([one.close(), two.close()]);
    });
});

it("PostgreSQL, whose client asks for TLS with bytes that are no TLS", async (t) => {
  const pem = await (await makeAuthority()).issue({ dns: ["db.test"] });
  const postgres = await startPostgres(endOf(t), portOf("postgres"), pem);
  for (const way of WAYS)
    await t.test(`through ${way}`, async () => {
      const ask = async (sql: string, sslmode: string): Promise<string> => {
        const url = `postgresql://shop@127.0.0.1:${through(way, "postgres")}/postgres?sslmode=${sslmode}`;
        const { stdout } = await run(postgres.file("psql"), [url, "-X", "-A", "-t", "-c", sql], {
          env: postgres.env,
          maxBuffer: 20_000_000,
        });
        return stdout.trim();
      };
      const isSecure = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
      assert.equal(await ask(isSecure, "require"), "t");
      assert.equal(await ask(isSecure, "disable"), "f");
      assert.equal((await ask("SELECT repeat('x', 5000000)", "require")).length, 5_000_000);
    });
});

it("Redis, whose client speaks first, in words or in numbers", async (t) => {
  await startRedis(endOf(t), portOf("redis"));
  for (const way of WAYS)
    await t.test(`through ${way}`, async () => {
      const socket = net.connect(through(way, "redis"), "127.0.0.1");
      const answers: string[] = [];
      // A key that looks like the target of a request.
      socket.end(`SET /cart 1\r\n*2\r\n$4\r\nINCR\r\n$5\r\n/cart\r\nGET /cart\r\n`);
      for await (const bytes of socket) answers.push(String(bytes));
      assert.equal(answers.join(""), "+OK\r\n:2\r\n$1\r\n2\r\n");
    });
});

it("Kafka, whose client speaks first", async (t) => {
  const doors = WAYS.map((way, index) => {
    const app = index === 0 ? "kafka0" : "kafka1";
    return { way, port: portOf(app), advertised: through(way, app) };
  });
  await startKafka(endOf(t), doors);
  for (const { way, advertised } of doors)
    await t.test(`through ${way}`, async () => {
      const kafka = new Kafka({
        clientId: "e2e",
        brokers: [`127.0.0.1:${advertised}`],
        logLevel: logLevel.NOTHING,
        retry: { retries: 20 },
      });
      const topic = `orders-${advertised}`;
      const admin = kafka.admin();
      await admin.connect();
      await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }] });
      await admin.disconnect();
      const producer = kafka.producer();
      await producer.connect();
      const consumer = kafka.consumer({ groupId: `group-${advertised}` });
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      const seen: string[] = [];
      const all = new Promise<void>((resolve) => {
        void consumer.run({
          eachMessage: async ({ message }) => {
            seen.push(String(message.value).slice(0, 3));
            if (seen.length === 100) resolve();
          },
        });
      });
      const messages = Array.from({ length: 100 }, (_, i) => ({ value: String(i).padStart(3, "0").padEnd(5000, ".") }));
      await producer.send({ topic, messages });
      await all;
      assert.deepEqual(
        seen,
        messages.map(({ value }) => value.slice(0, 3)),
      );
      await consumer.disconnect();
      await producer.disconnect();
    });
});
