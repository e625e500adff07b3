// One process per address; the dead leave nothing that stops the living.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { lockAddress } from "./address-lock.ts";
import { parseSocketAddress } from "./original-destination.ts";

const folder = mkdtempSync(join(tmpdir(), "heddle-lock-"));
after(() => rmSync(folder, { recursive: true }));

describe("the lock of a listener address", () => {
  it("is refused to a second start, by name of the process, until it is released", () => {
    const address = { address: "127.0.0.1", port: 15001 };
    const lock = lockAddress(folder, address);
    assert.throws(() => lockAddress(folder, address), {
      code: "HDL_ADDRESS_LOCKED",
      message: new RegExp(`^Cannot listen on 127\\.0\\.0\\.1:15001: process ${process.pid} listens there already`),
    });
    lock.release();
    lockAddress(folder, address).release();
  });

  it("is taken over from a process that is gone, or whose number is somebody else's now", () => {
    const address = { address: "::1", port: 15006 };
    for (const owner of ["4194305 77", `${process.pid} 1`]) {
      writeFileSync(join(folder, "listener-___1__15006.lock"), owner);
      lockAddress(folder, address).release();
    }
  });
});

describe("an original destination", () => {
  it("is read from sockaddr_in and sockaddr_in6", () => {
    const four = Buffer.from([2, 0, 0x1f, 0x90, 10, 1, 2, 3, ...Array.from({ length: 20 }, () => 0)]);
    assert.deepEqual(parseSocketAddress(four, false), { address: "10.1.2.3", port: 8080 });
    const six = Buffer.alloc(28);
    six.writeUInt16BE(443, 2);
    six[8] = 0xfd;
    six[23] = 1;
    assert.deepEqual(parseSocketAddress(six, true), { address: "fd00::1", port: 443 });
  });
});
