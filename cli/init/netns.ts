// What of Linux's network Node has no function for, through node:ffi: enters a network namespace, and gives the loopback device
// an address. Neither `nsenter` nor `ip` is needed, which nodes and small images may not have.
import { closeSync, openSync, readFileSync } from "node:fs";
import { HeddleError } from "#lib/errors.ts";
import { loadLibc } from "#lib/libc.ts";

const CLONE_NEWNET = 0x4000_0000;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SIOCSIFADDR = 0x8916n;
const SIOCDIFADDR = 0x8936n;
/** Of `lo`, in every network namespace. */
const LOOPBACK_INDEX = 1;

interface Libc {
  setns(descriptor: number, kind: number): number;
  socket(domain: number, type: number, protocol: number): number;
  ioctl(descriptor: number, request: bigint, argument: Buffer): number;
  close(descriptor: number): number;
}

/** @throws {HeddleError} HDL_INTERCEPTION_FAILED where Node has no `node:ffi`. */
function openLibc(): Libc {
  try {
    return loadLibc<Libc>({
      setns: { return: "int32", arguments: ["int32", "int32"] },
      socket: { return: "int32", arguments: ["int32", "int32", "int32"] },
      ioctl: { return: "int32", arguments: ["int32", "uint64", "buffer"] },
      close: { return: "int32", arguments: ["int32"] },
    });
  } catch (error) {
    throw new HeddleError(
      "HDL_INTERCEPTION_FAILED",
      "Cannot call libc: this Node has no node:ffi (26.10 or later on Linux with glibc is needed)",
      { cause: error },
    );
  }
}

/** This thread, and all that it starts from now on, is in the namespace of `file`; there is no way back. */
export async function enterNetworkNamespace(file: string): Promise<void> {
  const libc = openLibc();
  const descriptor = openSync(file, "r");
  try {
    if (libc.setns(descriptor, CLONE_NEWNET) !== 0)
      throw new HeddleError(
        "HDL_INTERCEPTION_FAILED",
        `Cannot enter the network namespace ${file}: setns was refused (CAP_SYS_ADMIN is needed)`,
      );
  } finally {
    closeSync(descriptor);
  }
}

/** One line of /proc/net/if_inet6. */
interface Ipv6Address {
  /** 32 hexadecimal digits. */
  readonly digits: string;
  readonly isLinkLocal: boolean;
  readonly device: string;
}

/** Of this namespace; empty where the kernel or the pod has no IPv6. */
function readIpv6Addresses(): readonly Ipv6Address[] {
  let text: string;
  try {
    text = readFileSync("/proc/self/net/if_inet6", "utf8");
  } catch {
    return [];
  }
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [digits = "", , , scope, , device = ""] = line.split(/\s+/);
      return { digits, isLinkLocal: scope === "20", device };
    });
}

/** Whether somebody could call this pod by IPv6, or be called: an address beyond the loopback device and the link. */
export function hasIpv6Address(): boolean {
  return readIpv6Addresses().some(({ device, isLinkLocal }) => device !== "lo" && !isLinkLocal);
}

/** `::6`, as the kernel lists it. */
const SOURCE_DIGITS = "6".padStart(32, "0");

function hasSource(): boolean {
  return readIpv6Addresses().some(({ digits }) => digits === SOURCE_DIGITS);
}

/**
 * Gives `lo` the address `::6`: 127.0.0.6 is there by itself, but IPv6's loopback net is one address.
 * False: the kernel refused, as it does where IPv6 is switched off.
 */
export async function addProxySource(): Promise<boolean> {
  if (hasSource()) return true;
  return (await changeLoopback(SIOCSIFADDR)) || hasSource();
}

/** Takes it away again. */
export async function removeProxySource(): Promise<void> {
  if (hasSource()) await changeLoopback(SIOCDIFADDR);
}

async function changeLoopback(request: bigint): Promise<boolean> {
  const libc = openLibc();
  const descriptor = libc.socket(AF_INET6, SOCK_DGRAM, 0);
  if (descriptor < 0) return false;
  // struct in6_ifreq: the address, the length of its prefix, the device.
  const argument = Buffer.alloc(24);
  argument.write(SOURCE_DIGITS, 0, "hex");
  new Uint32Array(argument.buffer, argument.byteOffset + 16, 2).set([128, LOOPBACK_INDEX]);
  const isDone = libc.ioctl(descriptor, request, argument) === 0;
  libc.close(descriptor);
  return isDone;
}
