// Real servers of protocols that a proxy does not know: MariaDB, PostgreSQL, NATS, Kafka. Each on a port of the caller's.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

import type { OnEnd } from "./cleanup.ts";
import { getDebianPrograms, type DebianPrograms } from "../debian.ts";
import { getGoTool } from "../go-tools.ts";
import { getRedis } from "./redis.ts";
import { until } from "./until.ts";

const CACHE = path.join(import.meta.dirname, "..", "..", ".cache");
const NOBODY = 65_534;
const STARTED_MS = 90_000;

/** A port below those that the system gives away by itself, so that it stays free until a server takes it. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = net.createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

export function makeFolder(onEnd: OnEnd): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-e2e-"));
  onEnd(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Start {
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly port: number;
  readonly uid?: number | undefined;
}

async function start(onEnd: OnEnd, file: string, { args, env, port, uid }: Start): Promise<void> {
  const asWhom = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"], ...asWhom });
  onEnd(() => stop(child));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (bytes: Buffer) => (said = (said + bytes.toString()).slice(-5000)));
  await until(
    `${path.basename(file)} listens`,
    async () => {
      if (child.exitCode !== null) throw new Error(`${file} ended with ${child.exitCode}: ${said}`);
      const socket = net.connect(port, "127.0.0.1");
      const isOpen = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      socket.destroy();
      return isOpen;
    },
    STARTED_MS,
  );
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Gives the programs of the client too. */
export async function startMariadb(onEnd: OnEnd, port: number): Promise<DebianPrograms> {
  const mariadb = getDebianPrograms({
    name: "mariadb",
    packages: [
      "mariadb-server-core",
      "mariadb-client-core",
      "libmariadb3",
      "libaio1",
      "liburing2",
      "libsnappy1v5",
      "libpmem1",
      "libndctl6",
      "libdaxctl1",
      "libfmt9",
      "libodbc2",
    ],
    folders: ["usr/sbin", "usr/bin"],
    program: "mariadbd",
  });
  const folder = makeFolder(onEnd);
  const data = path.join(folder, "data");
  const base = mariadb.root === undefined ? [] : [`--basedir=${path.join(mariadb.root, "usr")}`];
  const me = `--user=${os.userInfo().username}`;
  execFileSync(
    mariadb.file("mariadb-install-db"),
    ["--no-defaults", ...base, me, `--datadir=${data}`, "--auth-root-authentication-method=normal", "--skip-test-db"],
    { env: mariadb.env, stdio: ["ignore", "ignore", "pipe"] },
  );
  const messages =
    mariadb.root === undefined ? [] : [`--lc-messages-dir=${path.join(mariadb.root, "usr/share/mysql")}`];
  await start(onEnd, mariadb.file("mariadbd"), {
    args: [
      "--no-defaults",
      me,
      `--datadir=${data}`,
      `--socket=${path.join(folder, "socket")}`,
      `--pid-file=${path.join(folder, "pid")}`,
      "--bind-address=127.0.0.1",
      `--port=${port}`,
      ...messages,
    ],
    env: mariadb.env,
    port,
  });
  return mariadb;
}

/** With TLS, so that a client's SSLRequest is answered with yes. */
export async function startPostgres(
  onEnd: OnEnd,
  port: number,
  tls: { readonly chainPem: string; readonly keyPem: string },
): Promise<DebianPrograms> {
  const postgres = getDebianPrograms({
    name: "postgresql",
    packages: ["postgresql-15", "postgresql-client-15", "libpq5"],
    folders: ["usr/lib/postgresql/15/bin"],
    program: "postgres",
  });
  const folder = makeFolder(onEnd);
  const data = path.join(folder, "data");
  // It does not run as root.
  const uid = process.getuid?.() === 0 ? NOBODY : undefined;
  fs.writeFileSync(path.join(folder, "tls.crt"), tls.chainPem);
  fs.writeFileSync(path.join(folder, "tls.key"), tls.keyPem, { mode: 0o600 });
  const asWhom = uid === undefined ? {} : { uid, gid: uid };
  if (uid !== undefined)
    for (const name of [".", "tls.crt", "tls.key"]) fs.chownSync(path.join(folder, name), uid, uid);
  execFileSync(
    postgres.file("initdb"),
    ["-D", data, "-U", "shop", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
    {
      env: postgres.env,
      stdio: ["ignore", "ignore", "pipe"],
      cwd: folder,
      ...asWhom,
    },
  );
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: folder,
    fsync: "off",
    ssl: "on",
    ssl_cert_file: path.join(folder, "tls.crt"),
    ssl_key_file: path.join(folder, "tls.key"),
  };
  await start(onEnd, postgres.file("postgres"), {
    args: ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    env: postgres.env,
    port,
    uid,
  });
  return postgres;
}

export async function startRedis(onEnd: OnEnd, port: number): Promise<void> {
  const { file, env } = getRedis();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  await start(onEnd, file, { args, env, port });
}

export async function startNats(onEnd: OnEnd, port: number): Promise<void> {
  const file = getGoTool("nats-server", "github.com/nats-io/nats-server/v2@v2.11.0");
  await start(onEnd, file, { args: ["-a", "127.0.0.1", "-p", String(port)], port });
}

/** One node of Kafka 3.9 (KRaft); `doors` are ports of its own, and the ports under which clients reach it. */
export async function startKafka(
  onEnd: OnEnd,
  doors: readonly { readonly port: number; readonly advertised: number }[],
): Promise<void> {
  const classPath = path.join(getKafka(), "*");
  const folder = makeFolder(onEnd);
  const controller = await freePort();
  const names = doors.map((_, index) => `DOOR${index}`);
  const properties = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    "controller.listener.names": "CONTROLLER",
    listeners: [
      ...doors.map(({ port }, index) => `DOOR${index}://127.0.0.1:${port}`),
      `CONTROLLER://127.0.0.1:${controller}`,
    ].join(),
    "advertised.listeners": doors.map(({ advertised }, index) => `DOOR${index}://127.0.0.1:${advertised}`).join(),
    "listener.security.protocol.map": [...names, "CONTROLLER"].map((name) => `${name}:PLAINTEXT`).join(),
    "inter.broker.listener.name": "DOOR0",
    "log.dirs": path.join(folder, "data"),
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
  };
  const file = path.join(folder, "server.properties");
  fs.writeFileSync(
    file,
    Object.entries(properties)
      .map((pair) => pair.join("="))
      .join("\n"),
  );
  const java = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classPath];
  const id = Buffer.alloc(16, 1).toString("base64url");
  execFileSync("java", [...java, "kafka.tools.StorageTool", "format", "-t", id, "-c", file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for (const { port } of doors.slice(0, 1)) await start(onEnd, "java", { args: [...java, "kafka.Kafka", file], port });
}

/** Apache Kafka's jars from Maven Central, once, into `.cache/kafka`. */
function getKafka(): string {
  const folder = path.join(CACHE, "kafka");
  const jars = path.join(folder, "lib");
  if (fs.existsSync(jars)) return jars;
  fs.mkdirSync(folder, { recursive: true });
  const dependency = "<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>3.9.1</version>";
  fs.writeFileSync(
    path.join(folder, "pom.xml"),
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>e2e</groupId>` +
      `<artifactId>kafka</artifactId><version>1</version><dependencies><dependency>${dependency}</dependency></dependencies></project>`,
  );
  const partial = fs.mkdtempSync(path.join(folder, "partial-"));
  try {
    execFileSync("mvn", ["-q", "-B", "dependency:copy-dependencies", `-DoutputDirectory=${partial}`], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    fs.renameSync(partial, jars);
  } catch (cause) {
    fs.rmSync(partial, { recursive: true, force: true });
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot get Kafka: these tests need Java 17 and Maven: ${said}`, { cause });
  }
  return jars;
}
