// The operators' endpoint on a real socket: no request may end the process that serves it.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, it } from "node:test";

import { HttpEndpoint } from "./http-endpoint.ts";

async function ask(port: number, target: string): Promise<string> {
  const socket = net.connect(port, "127.0.0.1");
  socket.end(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  let answer = "";
  socket.setEncoding("latin1").on("data", (text: string) => (answer += text));
  await once(socket, "close");
  return answer;
}

describe("the operators' endpoint", () => {
  it("answers 404 to targets that are no URL, or name what every object has", async () => {
    const endpoint = new HttpEndpoint({ "/ready": () => ({ body: "yes\n" }) });
    const port = await endpoint.listen({ address: "127.0.0.1", port: 0 });
    try {
      for (const target of ["//[", "//", "http://[::1", "http://a:99999/", "/__proto__", "x:toString", "/toString"])
        // One after the other: the first that ends the server must be the one that is named.
        // oxlint-disable-next-line no-await-in-loop
        assert.match(await ask(port, target), /^HTTP\/1\.1 40[04] /, target);
      assert.match(await ask(port, "/ready"), /^HTTP\/1\.1 200 .*yes\n/s);
    } finally {
      endpoint.close();
    }
  });
});
