// Addresses and networks on the wire.
import { create } from "@bufbuild/protobuf";
import { isIP } from "node:net";
import type { Cidr, SocketAddress } from "../model/address.ts";
import {
  AddressSchema,
  CidrRangeSchema,
  SocketAddress_Protocol,
  type Address,
  type CidrRange,
} from "./gen/envoy/config/core/v3/address_pb.ts";
import type { Scope } from "./issues.ts";

/** `host`: a name is good too (DNS clusters). */
export function addressFromWire(address: Address | undefined, scope: Scope, kind: "ip" | "host"): SocketAddress {
  const none = { address: "0.0.0.0", port: 0 };
  if (address === undefined) {
    scope.invalid("must be set");
    return none;
  }
  if (address.address.case !== "socketAddress") return none;
  const socket = address.address.value;
  const at = scope.field("socket_address");
  if (socket.protocol !== SocketAddress_Protocol.TCP) at.field("protocol").unsupported("only TCP is supported");
  if (kind === "ip" && isIP(socket.address) === 0) {
    at.field("address").invalid(`must be an IP address: got "${socket.address}"`);
  }
  const port = socket.portSpecifier.case === "portValue" ? socket.portSpecifier.value : 0;
  return { address: socket.address, port };
}

export function addressToWire(address: SocketAddress): Address {
  const portSpecifier = { case: "portValue", value: address.port } as const;
  return create(AddressSchema, {
    address: { case: "socketAddress", value: { address: address.address, portSpecifier } },
  });
}

export function cidrFromWire(range: CidrRange, scope: Scope): Cidr {
  const version = isIP(range.addressPrefix);
  const longest = version === 6 ? 128 : 32;
  const prefixLength = range.prefixLen ?? 0;
  if (version === 0) scope.field("address_prefix").invalid(`must be an IP address: got "${range.addressPrefix}"`);
  else if (prefixLength > longest) scope.field("prefix_len").invalid(`must be at most ${longest}: got ${prefixLength}`);
  return { address: range.addressPrefix, prefixLength };
}

export function cidrToWire(cidr: Cidr): CidrRange {
  return create(CidrRangeSchema, { addressPrefix: cidr.address, prefixLen: cidr.prefixLength });
}
