import assert from "node:assert/strict";
import { it } from "node:test";
import { StartError, SupervisedServer } from "./supervised.ts";

const READY = `console.log('{"message":"starting"}'); console.log('{"time":1,"message":"ready"}');`;
const GRACE_MS = 20_000;

/** A server of these statements; its lines and how it was lost. */
function start(script: string): { server: SupervisedServer; lines: string[]; lost: Promise<string> } {
  const lines: string[] = [];
  const lost = Promise.withResolvers<string>();
  const command = { name: "web", file: process.execPath, args: ["-e", script] };
  const server = new SupervisedServer(command, {
    onLine: (name, line) => lines.push(`${name} ${line}`),
    onLost: (_name, how) => lost.resolve(how),
  });
  return { server, lines, lost: lost.promise };
}

it("a server is ready when it says so, and ends by SIGTERM without being missed", async () => {
  const { server, lines, lost } = start(
    `process.on("SIGTERM", () => { console.log("bye"); process.exit(0); }); setInterval(() => {}, 1000); ${READY}`,
  );
  await server.ready;
  await server.stop(GRACE_MS);
  assert.deepEqual(lines, ['web {"message":"starting"}', 'web {"time":1,"message":"ready"}', "web bye"]);
  assert.equal(await Promise.race([lost, Promise.resolve("not lost")]), "not lost");
});

it("a server that ends before it is ready is an error with its last words", async () => {
  const { server } = start(`console.error("the port is taken"); process.exitCode = 7;`);
  await assert.rejects(server.ready, (error: Error) => {
    assert.ok(error instanceof StartError);
    assert.match(error.message, /^web ended with code 7 before it was ready:\nthe port is taken$/);
    return true;
  });
  await server.stop(GRACE_MS);
});

it("a program that does not exist is an error", async () => {
  const server = new SupervisedServer(
    { name: "web", file: "/no/such/program", args: [] },
    { onLine: () => undefined, onLost: () => undefined },
  );
  await assert.rejects(server.ready, /Cannot start web/);
  await server.stop(GRACE_MS);
});

it("a server that ends by itself later is reported", async () => {
  const { server, lost } = start(`${READY} setTimeout(() => process.exit(3), 1);`);
  await server.ready;
  assert.equal(await lost, "code 3");
});

it("a server that does not heed SIGTERM is killed after its grace", async () => {
  const { server } = start(`process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); ${READY}`);
  await server.ready;
  await server.stop(1);
});
