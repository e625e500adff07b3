// What a row compares: a proxy (or two, on the mesh path) that stands between load generator and application.
export const contenderNames = ["heddle", "envoy", "haproxy", "nginx", "node"] as const;
export type ContenderName = (typeof contenderNames)[number];

export interface Contender {
  /** Where the load goes. */
  readonly port: number;
  /** All its processes: two on the mesh path. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}
