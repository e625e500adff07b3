// The settings of an HTTP/1 client connection, each with its default.
import type { HeadLimits } from "./field-scan.ts";

export interface Http1ClientOptions extends HeadLimits {
  readonly enableTrailers: boolean;
  /** Bytes pending for the server above which `sendData` answers false. */
  readonly bufferLimitBytes: number;
  /** The connection is used for so many requests; 0 = any number. */
  readonly maxRequests: number;
}

export const HTTP1_CLIENT_DEFAULTS: Http1ClientOptions = {
  maxHeadBytes: 60 * 1024,
  maxHeadCount: 100,
  preserveCase: true,
  enableTrailers: true,
  bufferLimitBytes: 256 * 1024,
  maxRequests: 0,
};
