/** Counts of a node since its start, as `catga top` and the dashboard ask for them. */
import { PROTOCOL, VERSION } from "../../version.ts";
import type { Alarm, UnreadableEntity } from "./alarms.ts";
import type { Kind } from "../declaration/contract.ts";
import type { LimitHealth, NodeInfo } from "./node_info.ts";

/**
 * The counts of one node. All counts except the gauges (`inHand`, `queued`, `leads`, `locks`, `process.rss`) only grow:
 * a rate is the difference between two answers, divided by the difference of their `up`. Compare only counts of one
 * `endpoint`; after a restart all counts begin at 0.
 */
export interface NodeStats {
  readonly id: string;
  /** Names the node's process: `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly service: string;
  /** The time of the node's wall clock when it answered, in ms since 1970. */
  readonly now: number;
  /** Time since the node's start, in ms, by a clock that does not jump. */
  readonly up: number;
  /** Number of handlers that run on the node, plus its sends that wait for answers. */
  readonly inFlight: number;
  /** Number of messages of other nodes that wait on the node for their handlers. */
  readonly queued: number;
  /** Contracts that the node handles, and contracts that it has sent or published; the busiest first. */
  readonly contracts: readonly ContractStats[];
  /** Number of further contracts, for which the answer has no room. */
  readonly moreContracts: number;
  /** The processes that the node has sent requests to; the process with the most requests first. */
  readonly peers: readonly PeerStats[];
  /** Names of the leaderships (`app.lead`) that the node holds. */
  readonly leads: readonly string[];
  /** Number of locks that the node holds. */
  readonly locks: number;
  /** Number of deadlocks between locks that ended because this node gave up a lock. */
  readonly cycles: number;
  /** All alarms about problems that the node sees, without their causes. */
  readonly alarms?: readonly Alarm[];
  /** The limits of the subscriptions that the node leads. */
  readonly limits?: readonly LedLimits[];
  /** The first 100 entities that the node could not read. */
  readonly unreadable?: readonly UnreadableEntity[];
  readonly process: {
    /** Resident memory, in bytes. */
    readonly rss: number;
    /** CPU time that the process has used, in ms. */
    readonly cpu: number;
  };
}

/** The limits of a subscription that a node leads. */
export interface LedLimits {
  /** Name of the subscription: `<service>/<name>`. */
  readonly subscription: string;
  readonly limits: readonly LimitHealth[];
}

/** Makes a {@link NodeInfo} from the counts that a node answered with, for tools that find no record of the node. */
export function nodeOfStats({ id, endpoint, service, now, up, contracts, inFlight, queued }: NodeStats): NodeInfo {
  // the counts also contain contracts that the node only sends
  const handled = contracts.filter(({ handled, sent, published }) => handled > 0 || sent + published === 0);
  return {
    ...{ id, endpoint, service, handles: handled.map(({ name }) => name), metadata: {}, load: { inFlight, queued } },
    ...{ startedAt: now - up, lastSeen: now, server: "", protocol: PROTOCOL, version: VERSION },
  };
}

/**
 * Counts of a node about one contract. Failures are counted by code; after the first 64 codes other than Catga's,
 * further codes count as `_OTHER`.
 */
export interface ContractStats {
  readonly name: string;
  readonly kind: Kind;
  /** Number of runs of handlers that have ended: for requests, events, and messages of the log. */
  readonly handled: number;
  /** Number of failed runs, and of requests refused before a handler got them (`OVERLOADED`, for instance), by code. */
  readonly failed: Readonly<Record<string, number>>;
  /**
   * Code and message of the last failure that says that a handler broke (it threw, timed out, …), unlike a failure that
   * it returned by `fail`; a long text is cut.
   */
  readonly failure?: string;
  /** Number of handlers of the contract that run, except handlers that return at once. */
  readonly inHand: number;
  /** Number of the contract's messages from other nodes that wait for a handler. */
  readonly queued: number;
  /**
   * Runs of handlers by duration, in the buckets of `data/latency_buckets.ts`, without the empty buckets at the end. A
   * duration goes from the arrival of the message at this node (for a send of this node: from the send) to the end of
   * the handler. Every request of another process is timed. Of many sends, events or messages of the log in one ms,
   * only some are timed: one timed run stands for up to 4,096. Streams are not timed.
   */
  readonly latency: readonly number[];
  /** Number of requests that this node has sent and that have ended, including requests to its own handlers. */
  readonly sent: number;
  /** Number of failed requests among `sent`, by code. */
  readonly sendFailed: Readonly<Record<string, number>>;
  /** Number of events that arrived, counted once for each handler of this node that gets them. */
  readonly heard: number;
  /** Number of events, and of queued commands, that the node has published. */
  readonly published: number;
}

/** The difference between the counts of a contract in two answers of one process. */
export type Counted = ReturnType<typeof countedSince>;

/**
 * Returns the counts of each contract since an earlier answer of the same process; `undefined` for a contract whose
 * earlier counts are not known, because there is no earlier answer, or the earlier answer had no room for the contract.
 */
export function countedBetween(
  before: Pick<NodeStats, "contracts" | "moreContracts"> | undefined,
  now: Pick<NodeStats, "contracts">,
): (readonly [ContractStats, Counted | undefined])[] {
  const earlier = new Map(before?.contracts.map((each) => [each.name, each]));
  return now.contracts.map((stats) => {
    const since = earlier.get(stats.name);
    const isKnown = since !== undefined || before?.moreContracts === 0;
    return [stats, isKnown ? countedSince(stats, since) : undefined];
  });
}

/**
 * Returns the counts of a contract since an earlier answer of the same process; without one, since the process's start.
 * A count that is smaller than before gives 0.
 */
function countedSince(now: ContractStats, before: ContractStats | undefined) {
  const grown = (to: number, from = 0) => Math.max(0, to - from);
  // a map, because an error code may be `constructor`, which each object has
  const failed = new Map(Object.entries(before?.failed ?? {}));
  return {
    handled: grown(now.handled, before?.handled),
    sent: grown(now.sent, before?.sent),
    published: grown(now.published, before?.published),
    /** Number of requests for which there was no node (`NO_HANDLER`). */
    unhandled: grown(now.sendFailed.NO_HANDLER ?? 0, before?.sendFailed.NO_HANDLER),
    /** Number of failures, by code; codes without failures are left out. */
    failed: Object.entries(now.failed)
      .map(([code, count]) => [code, grown(count, failed.get(code))] as const)
      .filter(([, count]) => count > 0),
    latency: now.latency.map((count, bucket) => grown(count, before?.latency[bucket])),
  };
}

/** Counts of a node about the requests that it has sent to one other process. */
export interface PeerStats {
  readonly id: string;
  /** Names the other process: `<id>.<nonce>`. */
  readonly endpoint: string;
  /** Number of requests that the node has sent to the process. */
  readonly sent: number;
  /** Number of requests that the process answered with a value. */
  readonly answered: number;
  /** Number of requests that the process answered with a failure, refused, did not get, or did not answer. */
  readonly failed: number;
}
