// Bytes for keys, from the kernel's generator where it is a file: `node:crypto` takes 6 ms and 1 MB to load, which a proxy without TLS spares.
import crypto from "node:crypto";
import fs from "node:fs";

const KERNEL = "/dev/urandom";

/** As unpredictable as `crypto.randomBytes`. */
export function randomSecret(bytes: number): Buffer {
  return tryReadKernel(bytes) ?? crypto.randomBytes(bytes);
}

function tryReadKernel(bytes: number): Buffer | undefined {
  let file: number;
  try {
    file = fs.openSync(KERNEL, "r");
  } catch {
    // Windows, or a root without /dev.
    return undefined;
  }
  try {
    // A plain file in its place would give everybody the same secret.
    if (!fs.fstatSync(file).isCharacterDevice()) return undefined;
    const secret = Buffer.alloc(bytes);
    return fs.readSync(file, secret) === bytes ? secret : undefined;
  } finally {
    fs.closeSync(file);
  }
}
