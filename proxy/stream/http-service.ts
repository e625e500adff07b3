// What a listener's HTTP connections are served with: one HTTP connection manager, compiled. Swapped as a whole on a change of
// configuration; an exchange keeps the one that it began with.
import type { HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { FilterChain } from "#filters/chain.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { TimerWheel } from "#lib/timer-wheel.ts";
import type { CompiledRouteTable } from "#proxy/route/route-table.ts";
import type { ClusterSet } from "#proxy/upstream/contract.ts";

import type { ExchangeObserver } from "./observer.ts";
import type { ReplayBudget } from "./request-body.ts";

export type LookUpHost = (table: string, authority: string, onAnswer: (failure: string | undefined) => void) => void;

export interface HttpService {
  readonly listener: Listener;
  readonly config: HttpConnectionManager;
  readonly chain: FilterChain;
  /** The filter's name -> what a throw does. */
  readonly failureModes: ReadonlyMap<string, "closed" | "open">;
  /** The table in force; undefined while RDS has not given it. */
  readonly routes: () => CompiledRouteTable | undefined;
  /**
   * Asks for a host of a table whose hosts come on demand, and calls back later: with nothing when the table in force has the
   * answer (the host, or that there is none), or with the reason why it is not known.
   */
  readonly lookUpHost?: LookUpHost | undefined;
  /** Undefined: nobody is internal. */
  readonly isInternalAddress: ((address: string) => boolean) | undefined;
  readonly clusters: ClusterSet;
  readonly clock: Clock;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly log: Log;
  readonly observer: ExchangeObserver;
  readonly replay: ReplayBudget;
  /** How this proxy names itself in `Proxy-Status`, `Via` and `server`. */
  readonly proxyName: string;
  /** Longest pause of a filter in ms. */
  readonly pauseTimeoutMs: number;
  /** The version of the configuration, for records. */
  readonly version: string;
}
