// Where something listens or is reached: an IP and a port, and how both are written as one key.

/** An IP address (never a host name, except where `Cluster.discovery` says DNS) and a port (0..65535). */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** An IPv4 or IPv6 network: `10.0.0.0/8` is `{ address: "10.0.0.0", prefixLength: 8 }`. */
export interface Cidr {
  readonly address: string;
  readonly prefixLength: number;
}

/** Writes an address as one key: `127.0.0.1:80`, `[::1]:80`. */
export function formatAddress(address: SocketAddress): string {
  return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
