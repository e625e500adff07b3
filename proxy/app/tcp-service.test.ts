// Opaque connections through a whole data plane: what is logged, counted and explained of each.
import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";

import { renderPrometheus } from "#proxy/telemetry/metrics.ts";

import { bootstrapYaml, clusterYaml, serveEcho, tcpListenerYaml, TestPlane } from "./testing/plane-of.ts";

const LOG = `
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: PATH
              log_format:
                json_format:
                  in: "%BYTES_RECEIVED%"
                  out: "%BYTES_SENT%"
                  host: "%UPSTREAM_HOST%"
                  cluster: "%UPSTREAM_CLUSTER%"
                  flags: "%RESPONSE_FLAGS%"
                  why: "%CONNECTION_TERMINATION_DETAILS%"
                  peer: "%DOWNSTREAM_REMOTE_ADDRESS%"
                  took: "%DURATION%"
                  at: "%START_TIME%"
                  path: "%REQ(:PATH)%"
                  id: "%STREAM_ID%"
`;

describe("an opaque connection", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-tcp-"));
  const file = path.join(folder, "access.log");
  const log = LOG.replace("PATH", file);
  const test = new TestPlane();
  let echo: Awaited<ReturnType<typeof serveEcho>>;
  let closedPort = 0;

  before(async () => {
    echo = await serveEcho();
    const gone = await serveEcho();
    gone.close();
    closedPort = gone.port;
    await test.apply(
      bootstrapYaml(
        [
          tcpListenerYaml("good", `          cluster: echo${log}`),
          tcpListenerYaml("refused", `          cluster: closed\n          max_connect_attempts: 2${log}`),
          tcpListenerYaml("half", `          cluster: half\n          max_connect_attempts: 2`),
          tcpListenerYaml("empty", `          cluster: none${log}`),
          tcpListenerYaml(
            "split",
            "          weighted_clusters: { clusters: [{ name: echo, weight: 1 }, { name: closed, weight: 1 }] }",
          ),
        ],
        [
          clusterYaml("echo", echo.port),
          clusterYaml("closed", closedPort),
          clusterYaml("half", closedPort, echo.port),
          "\n  - { name: none, type: STATIC, load_assignment: { cluster_name: none } }",
        ],
      ),
    );
  });

  after(async () => {
    await test.plane.drain(0);
    echo.close();
    fs.rmSync(folder, { recursive: true });
  });

  /** What came back; "" where the proxy hung up. */
  async function talk(listener: string, text: string): Promise<string> {
    const socket = net.connect({ port: test.port(listener), host: "127.0.0.1", allowHalfOpen: true });
    let answer = "";
    socket.on("data", (bytes: Buffer) => (answer += bytes.toString()));
    socket.on("error", () => undefined);
    socket.end(text);
    await new Promise((resolve) => socket.once("close", resolve));
    return answer;
  }

  async function lastLine(): Promise<Record<string, unknown>> {
    for (;;) {
      const lines = fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : [];
      const last = lines.at(-1) ?? "";
      if (last !== "") {
        fs.truncateSync(file);
        return JSON.parse(last) as Record<string, unknown>; // as: the log's own format
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  it("is logged with its bytes, endpoint and addresses", async () => {
    assert.equal(await talk("good", "hello"), "hello");
    const line = await lastLine();
    assert.equal(line["in"], 5);
    assert.equal(line["out"], 5);
    assert.equal(line["host"], `127.0.0.1:${echo.port}`);
    assert.equal(line["cluster"], "echo");
    assert.equal(line["flags"], "-");
    assert.equal(line["why"], null);
    assert.equal(line["path"], null);
    assert.match(String(line["peer"]), /^127\.0\.0\.1:\d+$/);
    assert.match(String(line["at"]), /^\d{4}-\d\d-\d\dT/);
    assert.equal(typeof line["took"], "number");
  });

  it("that cannot be connected has UF, URX after all attempts, and a record that explains it", async () => {
    assert.equal(await talk("refused", "hello"), "");
    const line = await lastLine();
    assert.equal(line["flags"], "UF,URX");
    assert.match(String(line["why"]), /connect-failure: Cannot connect to 127\.0\.0\.1:\d+.*ECONNREFUSED/);
    const [record] = test.plane.explain.find(String(line["id"]));
    assert.equal(record?.method, "TCP");
    assert.equal(record?.notes["connect_attempts"], 2);
    assert.deepEqual(record?.flags, ["UF", "URX"]);
  });

  it("that one instance refuses goes to another", async () => {
    for (let i = 0; i < 6; i++) assert.equal(await talk("half", "hello"), "hello");
  });

  it("to a cluster without endpoints has UH", async () => {
    assert.equal(await talk("empty", "hello"), "");
    assert.equal((await lastLine())["flags"], "UH");
  });

  it("that the client breaks off has DC", async () => {
    const socket = net.connect({ port: test.port("good"), host: "127.0.0.1" });
    socket.write("x");
    await once(socket, "data");
    socket.resetAndDestroy();
    assert.equal((await lastLine())["flags"], "DC");
  });

  it("goes to each of the weighted clusters", async () => {
    const answers = new Set<string>();
    for (let i = 0; i < 200 && answers.size < 2; i++) answers.add(await talk("split", "x"));
    assert.deepEqual([...answers].sort(), ["", "x"]);
  });

  it("is counted by destination, in plaintext too", () => {
    const text = renderPrometheus(test.plane.metrics.snapshot());
    assert.match(text, /heddle_tcp_connections_total\{listener="good",destination="echo"\} 2/);
    assert.match(text, /heddle_tcp_connections_active\{destination="echo"\} 0/);
    assert.match(
      text,
      new RegExp(`heddle_plaintext_connections_total\\{destination="127\\.0\\.0\\.1:${echo.port}"\\}`),
    );
    assert.match(
      text,
      /heddle_tcp_failures_total\{listener="refused",destination="closed",response_flags="UF,URX"\} 1/,
    );
  });

  it("has its log format checked when the configuration comes", async () => {
    const bad = tcpListenerYaml("bad", `          cluster: echo${log.replace("%DURATION%", "%DURATON%")}`);
    await assert.rejects(test.apply(bootstrapYaml([bad], [clusterYaml("echo", echo.port)])), /%DURATON%/);
  });
});
