// Clients that others wrote call servers that others wrote, through one sidecar and through two: curl, Go's net/http, nghttp,
// h2load and undici against Node, Go, nginx and nghttpd.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { it, type TestContext } from "node:test";
import { promisify } from "node:util";

import { Client } from "undici";

import { FILE, getNghttp, getPeer, type Peers, type ServerName, SERVERS, startPeers } from "./peers.ts";

const execute = promisify(execFile);

interface CurlCase {
  readonly name: string;
  /** `@` is the upload, `URL` the place; the status, the version and the size are written behind the body. */
  readonly options: readonly string[];
  readonly path: string;
  readonly on?: readonly ServerName[];
  readonly wanted: RegExp | ((output: string, server: ServerName) => void);
}

const SPEAKING = ["node1", "node2", "go1", "go2"] as const;
const isFile = (output: string): void => {
  assert.ok(output.startsWith(FILE.toString()), output.slice(0, 200));
  assert.match(output.slice(FILE.length), /^ 200 [\d.]+ 1048576$/);
};

const CURL: readonly CurlCase[] = [
  { name: "HTTP/1.0", options: ["--http1.0"], path: "/file", wanted: isFile },
  {
    name: "HTTP/1.0, the length unknown",
    options: ["--http1.0"],
    path: "/chunks",
    on: SPEAKING,
    wanted: /^part 0;part 1;part 2; 200 1\.[01] 21$/,
  },
  { name: "HTTP/1.1", options: ["--http1.1"], path: "/file", wanted: isFile },
  { name: "HTTP/2 with prior knowledge", options: ["--http2-prior-knowledge"], path: "/file", wanted: isFile },
  {
    name: "Upgrade: h2c, which is ignored",
    options: ["--http2"],
    path: "/say",
    on: SPEAKING,
    wanted: /^GET \/say 0 200 1\.1 10$/,
  },
  {
    name: "HEAD",
    options: ["-I"],
    path: "/file",
    wanted: /^HTTP\/1\.1 200[^]*content-length: 1048576\r\n[^]* 200 1\.1 0$/i,
  },
  {
    name: "HEAD over HTTP/2",
    options: ["-I", "--http2-prior-knowledge"],
    path: "/file",
    wanted: /^HTTP\/2 200[^]*content-length: 1048576\r\n[^]* 200 2 0$/i,
  },
  { name: "a range", options: ["-r", "7-10"], path: "/file", on: ["go1", "go2", "nginx"], wanted: /^file 206 1\.1 4$/ },
  {
    name: "several ranges over HTTP/2",
    options: ["-r", "7-10,16-21", "--http2-prior-knowledge"],
    path: "/file",
    on: ["go1", "go2", "nginx"],
    wanted: /multipart|file[^]*heddle[^]* 206 2 \d+$/,
  },
  {
    name: "a range that cannot be",
    options: ["-r", "99999999-"],
    path: "/file",
    on: ["go1", "go2", "nginx"],
    wanted: / 416 1\.1 \d+$/,
  },
  {
    name: "an upload with Expect: 100-continue",
    options: ["--http1.1", "-H", "Expect: 100-continue", "--data-binary", "@"],
    path: "/say",
    on: [...SPEAKING, "nginx"],
    wanted: /^POST \/say 1048576 200 1\.1 \d+$/,
  },
  {
    name: "an upload over HTTP/2",
    options: ["--http2-prior-knowledge", "-T", "@"],
    path: "/say",
    // Not nginx, which answers before the body has come: curl 7.88 takes the RST_STREAM NO_ERROR behind the answer for a failure.
    on: SPEAKING,
    wanted: /^PUT \/say 1048576 200 2 \d+$/,
  },
  {
    name: "an upload in chunks that is sent back",
    options: ["--http1.1", "-H", "Transfer-Encoding: chunked", "--data-binary", "@"],
    path: "/",
    on: ["nghttpd"],
    wanted: isFile,
  },
  {
    name: "chunks as they are",
    options: ["--http1.1", "--raw"],
    path: "/chunks",
    on: SPEAKING,
    wanted(output) {
      let rest = output;
      let body = "";
      for (;;) {
        const [line = "", size = ""] = /^([0-9a-fA-F]+)\r\n/.exec(rest) ?? assert.fail(output);
        const length = Number.parseInt(size, 16);
        if (length === 0) break;
        body += rest.slice(line.length, line.length + length);
        rest = rest.slice(line.length + length + 2);
      }
      assert.equal(body, "part 0;part 1;part 2;");
      assert.match(rest, /^0\r\n\r\n 200 1\.1 \d+$/);
    },
  },
  {
    name: "trailers that were asked for",
    options: ["--raw", "-H", "TE: trailers", "-H", "Connection: TE"],
    path: "/trailers",
    on: SPEAKING,
    wanted: /\r\n0\r\nx-sum: 4\r\n\r\n 200/i,
  },
  {
    name: "trailers that were not",
    options: ["--raw"],
    path: "/trailers",
    on: SPEAKING, // Go's HTTP/2 server gives a length, and then there are no chunks.
    wanted: /(?:\r\n0\r\n\r\n|^got ) 200/,
  },
  {
    name: "trailers of HTTP/2, asked for or not",
    options: ["--http2-prior-knowledge", "-D", "-"],
    path: "/trailers",
    // curl reads no further than the length that go2 gives.
    on: ["node1", "node2", "go1"],
    wanted: /got x-sum: 4\r\n[^]* 200 2|got [^]*x-sum: 4\r\n/i,
  },
  {
    name: "trailers of nghttpd",
    options: ["--raw", "-H", "TE: trailers", "-H", "Connection: TE"],
    path: "/file",
    on: ["nghttpd"],
    wanted: /\r\n0\r\nx-sum: 4\r\n\r\n 200/i,
  },
  {
    name: "103 before the answer",
    options: ["-D", "-"],
    path: "/hints",
    on: SPEAKING,
    wanted: /^HTTP\/1\.1 103 [^]*rel=preload[^]*HTTP\/1\.1 200 [^]*\r\n\r\npage 200 1\.1 4$/,
  },
  {
    name: "103 over HTTP/2",
    options: ["-D", "-", "--http2-prior-knowledge"],
    path: "/hints",
    on: SPEAKING,
    wanted: /^HTTP\/2 103 [^]*rel=preload[^]*HTTP\/2 200 [^]*page 200 2 4$/,
  },
  {
    name: "a path that is not there",
    options: [],
    path: "/missing/%20x?a=b",
    on: ["nginx", "nghttpd"],
    wanted: / 404 1\.1 \d+$/,
  },
];

async function curl(options: readonly string[], url: string, folder: string): Promise<string> {
  const upload = path.join(folder, "file");
  const all = options.map((option) =>
    option === "@" && options.includes("-T") ? upload : option.replace(/^@$/, `@${upload}`),
  );
  const ending = " %{http_code} %{http_version} %{size_download}";
  const { stdout } = await execute("curl", ["-sS", "--max-time", "60", "-w", ending, ...all, url], {
    maxBuffer: 1 << 24,
    encoding: "latin1",
  });
  return stdout;
}

async function callWithCurl(t: TestContext, { ways, folder, tlsPort, authorityFile }: Peers): Promise<void> {
  for (const { name, options, path: place, on = SERVERS, wanted } of CURL)
    await t.test(`curl: ${name}`, async (t) => {
      for (const way of ways)
        for (const server of on)
          await t.test(`${way.name}, ${server}`, async () => {
            const output = await curl(options, `http://127.0.0.1:${way.port(server)}${place}`, folder);
            if (typeof wanted === "function") wanted(output, server);
            else assert.match(output, wanted);
          });
    });
  await t.test("curl: HTTP/2 and HTTP/1.1 over TLS, as ALPN says", async () => {
    const tls = ["--cacert", authorityFile, "--resolve", `shop.example:${tlsPort}:127.0.0.1`];
    const url = `https://shop.example:${tlsPort}/say`;
    assert.equal(await curl([...tls, "--http2"], url, folder), "GET /say 0 200 2 10");
    assert.equal(await curl([...tls, "--http1.1", "-X", "PATCH"], url, folder), "PATCH /say 0 200 1.1 12");
  });
}

async function callWithGo(t: TestContext, { ways }: Peers): Promise<void> {
  for (const way of ways)
    for (const client of ["http1", "http2"])
      for (const server of ["go1", "go2"] as const)
        await t.test(`Go's ${client} client: ${way.name}, ${server}`, async (t) => {
          const options = ["client", client, `127.0.0.1:${way.port(server)}`];
          const { stdout } = await execute(getPeer(), options).catch((error: { stdout: string }) => error);
          const lines = stdout.trim().split("\n");
          assert.equal(lines.length, 12, stdout);
          for (const line of lines)
            await t.test(line.replace(/^(ok|failed) ([^:]*).*/, "$2"), () => assert.match(line, /^ok /));
        });
}

async function callWithNghttp(t: TestContext, { ways, folder }: Peers): Promise<void> {
  const programs = getNghttp();
  const { env } = programs;
  const nghttp = async (...options: string[]): Promise<string> =>
    (await execute(programs.file("nghttp"), options, { env, maxBuffer: 1 << 24 })).stdout;
  for (const way of ways)
    for (const server of SERVERS)
      await t.test(`nghttp and h2load: ${way.name}, ${server}`, async () => {
        const url = `http://127.0.0.1:${way.port(server)}`;
        assert.equal(await nghttp("--timeout=60", `${url}/file`), FILE.toString());
        const body = path.join(folder, "file");
        if (server === "nginx") assert.equal(await nghttp("-d", body, `${url}/say`), "POST /say 1048576");
        else if (server !== "nghttpd") {
          const upload = ["-d", body, "--expect-continue", "--padding=8", "--trailer=x-req: 3"];
          assert.equal(await nghttp(...upload, `${url}/trailers`), "got 3");
          const small = ["-w", "10", "-W", "16", "--max-concurrent-streams=1", "--header-table-size=0", "-m", "4"];
          assert.equal(await nghttp(...small, `${url}/say`), "GET /say 0".repeat(4));
        }
        const load = ["-n", "200", "-c", "4", "-m", "10", "-T", "60", `${url}/file`];
        const { stdout } = await execute(programs.file("h2load"), load, { env });
        assert.match(
          stdout,
          /requests: 200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored, 0 timeout/,
        );
        assert.match(stdout, /\(209715200\) data/);
      });
}

async function callWithUndici(t: TestContext, { ways }: Peers): Promise<void> {
  for (const way of ways)
    for (const server of SERVERS)
      await t.test(`undici, pipelining: ${way.name}, ${server}`, async () => {
        const client = new Client(`http://127.0.0.1:${way.port(server)}`, { pipelining: 8 });
        try {
          const answers = Array.from({ length: 24 }, async () => {
            const { statusCode, body } = await client.request({ path: "/file", method: "GET" });
            return [statusCode, Buffer.from(await body.arrayBuffer()).equals(FILE)];
          });
          assert.deepEqual(
            await Promise.all(answers),
            answers.map(() => [200, true]),
          );
          if (server === "nginx" || server === "nghttpd") return;
          const { body, trailers } = await client.request({
            path: "/trailers",
            method: "GET",
            headers: { te: "trailers" },
          });
          assert.equal(await body.text(), "got ");
          assert.equal(trailers["x-sum"], "4");
        } finally {
          await client.close();
        }
      });
}

it("independent clients and servers understand each other", async (t) => {
  const peers = await startPeers(t);
  await callWithCurl(t, peers);
  await callWithGo(t, peers);
  await callWithNghttp(t, peers);
  await callWithUndici(t, peers);
});
