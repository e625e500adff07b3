// Messages that do not simply run from beginning to end: events, early answers, ends that are none, and sides that are slow.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { it, type TestContext } from "node:test";

import { type Bridge, type Bridges, startBridges } from "./bridge.ts";
import { until } from "./until.ts";

const MIB = 1024 * 1024;
/** More than all buffers of two sidecars, the windows between them and four sockets hold together. */
const TOO_MUCH = 192 * MIB;

interface Opened {
  readonly request: http.ClientRequest | http2.ClientHttp2Stream;
  /** Resolves with the answer's status when its head has come. */
  readonly head: Promise<number>;
  /** The answer's body, to be read from. */
  readonly body: Promise<http.IncomingMessage | http2.ClientHttp2Stream>;
}

function open(bridge: Bridge, method = "GET", path = "/"): Opened {
  if (bridge.client === "http2") {
    const request = bridge.session.request({ ":method": method, ":path": path }, { endStream: method === "GET" });
    request.on("error", () => undefined);
    const response = once(request, "response");
    return {
      request,
      head: response.then(([head]) => Number((head as http2.IncomingHttpHeaders)[":status"])),
      body: response.then(() => request),
    };
  }
  const request = http.request({ port: bridge.port, method, path, agent: false });
  if (method === "GET") request.end();
  const response = once(request, "response").then(([message]) => message as http.IncomingMessage);
  request.on("error", () => undefined);
  return { request, head: response.then(({ statusCode }) => statusCode ?? 0), body: response };
}

/** How a body ended: `end`, or anything else. */
function endOf(body: http.IncomingMessage | http2.ClientHttp2Stream): Promise<"end" | "cut"> {
  return new Promise((resolve) => {
    let hasEnded = false;
    body.on("error", () => undefined);
    body.on("end", () => (hasEnded = body instanceof http.IncomingMessage ? body.complete : body.rstCode === 0));
    body.once("close", () => resolve(hasEnded ? "end" : "cut"));
    body.resume();
  });
}

async function onEach(
  t: TestContext,
  name: string,
  bridges: Bridges,
  run: (bridge: Bridge) => Promise<void>,
  on: (bridge: Bridge) => boolean = () => true,
): Promise<void> {
  await t.test(name, async (t) => {
    for (const bridge of bridges.all) if (on(bridge)) await t.test(bridge.name, () => run(bridge));
  });
}

it("streams come through", async (t) => {
  const bridges = await startBridges(t);

  await onEach(t, "each event reaches the client before the next is made", bridges, async (bridge) => {
    let send: (text: string) => void = () => undefined;
    bridges.handle = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      send = (text) => void (text === "" ? response.end() : response.write(`data: ${text}\n\n`));
    };
    const { head, body } = open(bridge);
    // The head alone comes too, before there is any event.
    assert.equal(await head, 200);
    const stream = await body;
    for (let i = 0; i < 20; i++) {
      send(String(i));
      const [bytes] = (await once(stream, "data")) as [Buffer];
      assert.equal(bytes.toString(), `data: ${i}\n\n`);
    }
    send("");
    assert.equal(await endOf(stream), "end");
  });

  await onEach(t, "an answer overtakes the upload that it does not want", bridges, async (bridge) => {
    bridges.handle = (_request, response) => void response.writeHead(413).end("too much");
    const { request, head, body } = open(bridge, "POST");
    request.write(Buffer.alloc(MIB));
    assert.equal(await head, 413);
    let text = "";
    for await (const bytes of await body) text += String(bytes);
    assert.equal(text, "too much");
    request.destroy();
  });

  await onEach(t, "both sides may speak at once", bridges, async (bridge) => {
    bridges.handle = (request, response) => {
      response.writeHead(200);
      response.flushHeaders();
      request.pipe(response);
    };
    const { request, body } = open(bridge, "POST");
    if (request instanceof http.ClientRequest) request.flushHeaders();
    const stream = await body;
    for (let i = 0; i < 20; i++) {
      request.write(`message ${i}`);
      const [bytes] = (await once(stream, "data")) as [Buffer];
      assert.equal(bytes.toString(), `message ${i}`);
    }
    request.end();
    assert.equal(await endOf(stream), "end");
  });

  for (const phase of ["before the answer", "within the answer"] as const)
    await onEach(t, `a client that leaves ${phase} is seen to leave by the application`, bridges, async (bridge) => {
      let isGone = false;
      let code = -1;
      bridges.handle = (request, response) => {
        response.on("close", () => {
          isGone = !response.writableEnded;
          // as: the compatible API of node:http2 has it
          code = (request as unknown as http2.Http2ServerRequest).stream?.rstCode ?? -1;
        });
        request.on("error", () => undefined);
        response.on("error", () => undefined);
        if (phase === "within the answer") response.writeHead(200).write("begun");
        else seen();
      };
      let seen: () => void = () => undefined;
      const arrived = new Promise<void>((resolve) => (seen = resolve));
      const { request, head } = open(bridge);
      head.catch(() => undefined);
      await (phase === "within the answer" ? head : arrived);
      if (request instanceof http.ClientRequest) request.destroy();
      else request.close(http2.constants.NGHTTP2_CANCEL);
      await until("the application hears of it", () => isGone);
      if (bridge.app === "http2") assert.equal(code, http2.constants.NGHTTP2_CANCEL);
    });

  const CODES = ["NO_ERROR", "CANCEL", "INTERNAL_ERROR", "REFUSED_STREAM", "ENHANCE_YOUR_CALM"] as const;
  for (const name of CODES)
    await onEach(
      t,
      `an answer that is broken off with ${name} has no good end`,
      bridges,
      async (bridge) => {
        let cut: () => void = () => undefined;
        bridges.handle = (request, response) => {
          response.writeHead(200);
          response.write("begun");
          const code = http2.constants[`NGHTTP2_${name}`];
          // as: see above
          cut = () => (request as unknown as http2.Http2ServerRequest).stream.close(code);
        };
        const { body } = open(bridge);
        const stream = await body;
        await once(stream, "data");
        const end = endOf(stream);
        cut();
        assert.equal(await end, "cut");
        if (stream instanceof http.IncomingMessage) return;
        // What is no promise any more once a head was sent, or says that all is well, is none for the client.
        const kept = name === "CANCEL" || name === "ENHANCE_YOUR_CALM";
        assert.equal(stream.rstCode, http2.constants[`NGHTTP2_${kept ? name : "INTERNAL_ERROR"}`]);
      },
      ({ app }) => app === "http2",
    );

  await onEach(
    t,
    "an answer whose connection is cut has no good end",
    bridges,
    async (bridge) => {
      let cut: () => void = () => undefined;
      bridges.handle = (request, response) => {
        response.writeHead(200);
        response.write("begun");
        cut = () => request.socket.destroy();
      };
      const { body } = open(bridge);
      const stream = await body;
      await once(stream, "data");
      const end = endOf(stream);
      cut();
      assert.equal(await end, "cut");
    },
    ({ app }) => app === "http1",
  );

  await onEach(t, "a client that does not read stops the application", bridges, async (bridge) => {
    let written = 0;
    let isBlocked = false;
    bridges.handle = (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024);
      const more = (): void => {
        isBlocked = false;
        while (written < TOO_MUCH && response.write(chunk)) written += chunk.length;
        isBlocked = written < TOO_MUCH;
      };
      response.on("error", () => undefined);
      response.on("drain", more);
      more();
    };
    const { request, body } = open(bridge);
    const stream = await body;
    stream.pause();
    await untilStill(
      "the application is held back",
      () => written,
      () => isBlocked,
    );
    assert.ok(written < TOO_MUCH, "nothing held the application back");
    request.destroy();
  });

  await onEach(t, "an application that does not read stops the client", bridges, async (bridge) => {
    bridges.handle = (request, response) => {
      request.pause();
      response.on("error", () => undefined);
      request.on("error", () => undefined);
    };
    const { request, head } = open(bridge, "POST");
    head.catch(() => undefined);
    let written = 0;
    let isBlocked = false;
    const chunk = Buffer.alloc(64 * 1024);
    const more = (): void => {
      isBlocked = false;
      while (written < TOO_MUCH && request.write(chunk)) written += chunk.length;
      isBlocked = written < TOO_MUCH;
    };
    request.on("drain", more);
    more();
    await untilStill(
      "the client is held back",
      () => written,
      () => isBlocked,
    );
    assert.ok(written < TOO_MUCH, "nothing held the client back");
    request.destroy();
  });

  await onEach(t, "one stream that nobody reads does not stop the others", bridges, async (bridge) => {
    bridges.handle = (request, response) => {
      response.on("error", () => undefined);
      response.end(request.url === "/large" ? Buffer.alloc(64 * MIB) : "small");
    };
    const large = open(bridge, "GET", "/large");
    (await large.body).pause();
    for (let i = 0; i < 10; i++) assert.equal((await bridge.call({ path: "/small" })).body.toString(), "small");
    large.request.destroy();
  });
});

/** Resolves when the side is blocked and its count has not changed for a while that is long beside a round trip. */
async function untilStill(what: string, count: () => number, isBlocked: () => boolean): Promise<void> {
  let last = -1;
  let since = 0;
  await until(
    what,
    () => {
      const now = count();
      if (now !== last || !isBlocked()) {
        last = now;
        since = performance.now();
      }
      return now >= TOO_MUCH || performance.now() - since > 200;
    },
    60_000,
  );
}
