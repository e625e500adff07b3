// How many streams the connections that a pool is making will carry, so that a burst does not begin one for each request.
import type { PoolConnection } from "./pool-connection.ts";

/** Of a connection that may be HTTP/2, before any peer has said (RFC 9113 §6.5.2 recommends 100). */
const UNKNOWN_STREAMS = 100;

/** A connection counts until its peer has said how many streams it takes, or it is over. */
export class ExpectedStreams {
  count = 0;
  #each = UNKNOWN_STREAMS;

  /** Of an HTTP/2 connection, by what a peer said last. */
  get each(): number {
    return this.#each;
  }

  add(connection: PoolConnection): void {
    this.count += connection.expectedStreams;
  }

  settle(connection: PoolConnection): void {
    if (!connection.isExpected || !connection.isSettled) return;
    this.remove(connection);
    if (connection.isMultiplexed) this.#each = Math.min(UNKNOWN_STREAMS, Math.max(1, connection.maxStreams));
  }

  remove(connection: PoolConnection): void {
    if (connection.isExpected) this.count -= connection.expectedStreams;
    connection.isExpected = false;
  }
}
