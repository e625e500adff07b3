// ClientHellos of a real TLS client, cut everywhere.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { before, describe, it } from "node:test";
import { connect } from "node:tls";
import fc from "fast-check";
import { readClientHello } from "./client-hello.ts";

let hello: Buffer;

before(async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: "127.0.0.1", servername: "Reviews.Shop", ALPNProtocols: ["h2", "http/1.1"] });
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  [hello] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
});

describe("a ClientHello", () => {
  it("tells the server name in lower case and ALPN", () => {
    assert.deepEqual(readClientHello(hello), { serverName: "reviews.shop", alpn: ["h2", "http/1.1"] });
  });

  it("asks for more at every cut", () => {
    for (let cut = 0; cut < hello.length; cut++)
      assert.equal(readClientHello(hello.subarray(0, cut)), "more", `at ${cut}`);
  });

  it("is read from several records", () => {
    const body = hello.subarray(5);
    const records: Buffer[] = [];
    for (let p = 0; p < body.length; p += 50) {
      const part = body.subarray(p, p + 50);
      records.push(Buffer.from([22, 3, 1, 0, part.length]), part);
    }
    assert.deepEqual(readClientHello(Buffer.concat(records)), { serverName: "reviews.shop", alpn: ["h2", "http/1.1"] });
  });

  it("is not what other protocols send", () => {
    for (const text of ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "SSH-2.0-x\r\n", "\x16\x01\x02"]) {
      assert.equal(readClientHello(Buffer.from(text, "latin1")), "other");
    }
  });

  it("is not what comes in a record longer than TLS allows, however much of it is there", () => {
    const bytes = Buffer.from([22, 3, 1, 0x61, 0x61, 1, 0, 0x61, 0x61, 0x61]);
    for (const length of [6, 8, 9, 10]) assert.equal(readClientHello(bytes.subarray(0, length)), "other");
  });

  it("is not waited for behind a record that is no handshake's, and is read when it was complete before", () => {
    for (const broken of [
      Buffer.from([22, 3, 1, 0, 0]),
      Buffer.from([23, 3, 1, 0, 1]),
      Buffer.from([22, 3, 1, 255, 255]),
    ]) {
      assert.notEqual(typeof readClientHello(Buffer.concat([hello, broken])), "string");
      const half = Buffer.from(hello.subarray(0, 60));
      half.writeUInt16BE(55, 3);
      const more = Buffer.alloc(hello.length);
      assert.equal(readClientHello(Buffer.concat([half, broken, more])), "other");
    }
  });

  it("never throws, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), fc.nat(255), (noise, at, byte) => {
        readClientHello(Buffer.from([22, 3, 1, ...noise]));
        const damaged = Buffer.from(hello);
        damaged[at % damaged.length] = byte;
        readClientHello(damaged);
      }),
    );
  });
});
