// Takes a RouteConfiguration in without making objects of it: every host is read once, to know that it can be, and what did not
// change since the version before is not even read. 5,000 hosts of 3 routes: see bench/rows/push.ts.
import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { RouteTable, VirtualHost } from "../../model/route.ts";
import { checkMessage } from "../check.ts";
import { RouteConfigurationSchema } from "../gen/envoy/config/route/v3/route_pb.ts";
import { VirtualHostSchema } from "../gen/envoy/config/route/v3/route_components_pb.ts";
import { Scope, type ConfigIssue, type DecodeOptions } from "../issues.ts";
import { routeTableFromWire, virtualHostFromWire } from "../route.ts";
import { HASH_SEED, hashStep } from "./memo.ts";
import { fold, HostReader, SLOT, type PackedHosts } from "./packed-hosts.ts";
import { PackedRouteTable } from "./packed-route-table.ts";
import { tryReadPlainHost } from "./plain-host.ts";
import { NOT_PLAIN, PlainReader } from "./plain-reader.ts";

/**
 * `undefined` when something is wrong with the table, or odd: the whole decoder (resource.ts) has to look at it, and to say what.
 * `before`: the version that is held, of which equal hosts are taken over.
 */
export function tryPackRouteTable(
  bytes: Uint8Array,
  options: DecodeOptions,
  before?: RouteTable,
): PackedRouteTable | undefined {
  const old = before instanceof PackedRouteTable ? before.shared.packed : undefined;
  try {
    return pack(bytes, options, old);
  } catch (error) {
    if (error === NOT_PLAIN) return undefined;
    throw error;
  }
}

function pack(bytes: Uint8Array, options: DecodeOptions, old: PackedHosts | undefined): PackedRouteTable {
  const reader = new PlainReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const { hosts, head } = splitTable(reader);
  const domains: number[] = [];
  for (let at = 0; at < hosts.length; at += 2) findDomains(reader, hosts, at, domains);
  const memory = allocate(bytes.length, hosts, domains.length / SLOT);
  memory.bytes.set(bytes);
  const wildcards = indexDomains(memory, domains);
  const { others, unproven } = readHosts(
    reader,
    memory.places,
    options,
    old && new OldHosts(old, reader.bytes, domains),
  );
  const table = readWhole(RouteConfigurationSchema, head, options, routeTableFromWire);
  return new PackedRouteTable(table, { ...memory, others, wildcards }, unproven);
}

/** Where the hosts begin and end, and the bytes of all other fields. */
function splitTable(reader: PlainReader): { readonly hosts: Int32Array; readonly head: Uint8Array } {
  const { bytes } = reader;
  const hosts: number[] = [];
  const rest: Uint8Array[] = [];
  while (reader.at < bytes.length) {
    const start = reader.at;
    const tag = reader.varint();
    if (tag === 0x12) {
      const stop = reader.stop(bytes.length);
      hosts.push(reader.at, stop);
      reader.at = stop;
    } else {
      skip(reader, tag, bytes.length);
      rest.push(bytes.subarray(start, reader.at));
    }
  }
  return { hosts: Int32Array.from(hosts), head: Buffer.concat(rest) };
}

/** Adds three numbers for each domain of a host: where it begins, its length, the host's number plus one. */
function findDomains(reader: PlainReader, hosts: Int32Array, at: number, domains: number[]): void {
  const end = hosts[at + 1] ?? 0;
  reader.at = hosts[at] ?? 0;
  while (reader.at < end) {
    const tag = reader.varint();
    if (tag !== 0x12) {
      skip(reader, tag, end);
      continue;
    }
    const stop = reader.stop(end);
    domains.push(reader.at, stop - reader.at, at / 2 + 1);
    reader.at = stop;
  }
  reader.close(end);
}

function skip(reader: PlainReader, tag: number, end: number): void {
  switch (tag & 7) {
    case 0:
      while ((reader.bytes[reader.at++] ?? 0) >= 0x80);
      break;
    case 1:
      reader.at += 8;
      break;
    case 2:
      reader.at = reader.stop(end);
      break;
    case 5:
      reader.at += 4;
      break;
    default:
      throw NOT_PLAIN;
  }
  if (reader.at > end) throw NOT_PLAIN;
}

type Memory = Pick<PackedHosts, "bytes" | "places" | "slots">;

/** One piece of memory for all; at most two of three slots are used, so that a search ends soon. */
function allocate(length: number, hosts: Int32Array, domains: number): Memory {
  const slots = SLOT * 2 ** Math.ceil(Math.log2(Math.max(2, domains * 1.5)));
  const start = Math.ceil(length / 4) * 4;
  const shared = new SharedArrayBuffer(start + 4 * (hosts.length + slots));
  const places = new Int32Array(shared, start, hosts.length);
  places.set(hosts);
  return { bytes: new Uint8Array(shared, 0, length), places, slots: new Int32Array(shared, start + 4 * hosts.length) };
}

/** Declines what two hosts claim. */
function indexDomains(memory: Memory, domains: readonly number[]): PackedHosts["wildcards"] {
  const { bytes } = memory;
  const wildcards = new Map<string, number>();
  for (let i = 0; i < domains.length; i += SLOT) {
    const start = domains[i] ?? 0;
    const length = domains[i + 1] ?? 0;
    const host = domains[i + 2] ?? 0;
    let hash = HASH_SEED;
    let isWildcard = false;
    for (let at = start; at < start + length; at++) {
      const byte = bytes[at] ?? 0;
      // Beyond ASCII, letters have no case that one byte could tell.
      if (byte > 0x7e) throw NOT_PLAIN;
      isWildcard ||= byte === 0x2a;
      hash = hashStep(hash, fold(byte));
    }
    if (!isWildcard) {
      takeSlot(memory, hash, start, length, host);
      continue;
    }
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, length)
      .toString("latin1")
      .toLowerCase();
    if (wildcards.has(text)) throw NOT_PLAIN;
    wildcards.set(text, host - 1);
  }
  return [...wildcards];
}

function takeSlot({ slots, bytes }: Memory, hash: number, start: number, length: number, host: number): void {
  const mask = slots.length / SLOT - 1;
  let at = hash & mask;
  for (; slots[at * SLOT + 2] !== 0; at = (at + 1) & mask) {
    if (slots[at * SLOT + 1] !== length) continue;
    const other = slots[at * SLOT] ?? 0;
    let same = 0;
    while (same < length && fold(bytes[start + same] ?? 0) === fold(bytes[other + same] ?? 0)) same++;
    if (same === length) throw NOT_PLAIN;
  }
  slots[at * SLOT] = start;
  slots[at * SLOT + 1] = length;
  slots[at * SLOT + 2] = host;
}

interface Read {
  readonly others: ReadonlyMap<number, VirtualHost>;
  readonly unproven: readonly VirtualHost[];
}

function readHosts(reader: PlainReader, places: Int32Array, options: DecodeOptions, old: OldHosts | undefined): Read {
  const others = new Map<number, VirtualHost>();
  const unproven: VirtualHost[] = [];
  for (let host = 0; host < places.length / 2; host++) {
    const start = places[host * 2] ?? 0;
    const end = places[host * 2 + 1] ?? 0;
    const known = old?.findEqual(host, start, end) ?? -1;
    if (known >= 0) {
      const same = old?.hosts.others.get(known);
      if (same !== undefined) others.set(host, same);
    } else if (tryReadPlainHost(reader, start, end) === undefined) {
      const other = readWhole(VirtualHostSchema, reader.bytes.subarray(start, end), options, virtualHostFromWire);
      others.set(host, other);
      unproven.push(other);
    }
  }
  return { others, unproven };
}

/** The version before: which of its hosts come again, wherever they stand now. */
class OldHosts {
  readonly hosts: PackedHosts;
  readonly #index: HostReader;
  readonly #bytes: Buffer;
  readonly #domains: readonly number[];
  /** Where the next one is if nothing was put in or taken out. */
  #expected = 0;
  #domainAt = 0;

  /** `bytes` and `domains` are of the new version. */
  constructor(hosts: PackedHosts, bytes: Buffer, domains: readonly number[]) {
    this.hosts = hosts;
    this.#index = new HostReader(hosts);
    this.#bytes = bytes;
    this.#domains = domains;
  }

  /** The number that a host has in the old version, if it has the same bytes there, else -1. Hosts are asked for in their order. */
  findEqual(host: number, start: number, end: number): number {
    let known = this.#isEqual(this.#expected, start, end) ? this.#expected : -1;
    if (known < 0) {
      const candidate = this.#findByDomain(host);
      if (candidate >= 0 && this.#isEqual(candidate, start, end)) known = candidate;
      // A changed one stands where it stood.
      if (candidate >= 0) this.#expected = candidate;
    }
    this.#expected++;
    return known;
  }

  #isEqual(host: number, start: number, end: number): boolean {
    const { bytes, places } = this.hosts;
    if (host * 2 >= places.length) return false;
    const oldStart = places[host * 2] ?? 0;
    const oldEnd = places[host * 2 + 1] ?? 0;
    return oldEnd - oldStart === end - start && this.#bytes.compare(bytes, oldStart, oldEnd, start, end) === 0;
  }

  #findByDomain(host: number): number {
    const domains = this.#domains;
    while ((domains[this.#domainAt + 2] ?? Infinity) < host + 1) this.#domainAt += SLOT;
    if (domains[this.#domainAt + 2] !== host + 1) return -1;
    const start = domains[this.#domainAt] ?? 0;
    return this.#index.find(this.#bytes.toString("latin1", start, start + (domains[this.#domainAt + 1] ?? 0)));
  }
}

/** By the whole decoder. Any issue declines the table, so that it is told with its path. */
function readWhole<Desc extends DescMessage, Model>(
  schema: Desc,
  bytes: Uint8Array,
  options: DecodeOptions,
  translate: (message: MessageShape<Desc>, scope: Scope) => Model,
): Model {
  const issues: ConfigIssue[] = [];
  const scope = Scope.root(options, issues);
  let message: MessageShape<Desc>;
  try {
    message = fromBinary(schema, bytes);
  } catch {
    throw NOT_PLAIN;
  }
  checkMessage(schema, message, scope);
  const model = translate(message, scope);
  if (issues.length > 0) throw NOT_PLAIN;
  return model;
}
