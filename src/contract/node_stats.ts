/** Counts of a node since its start, as it answers to the tools: `catga top`, the dashboard. */
import { PROTOCOL, VERSION } from "../version.ts";
import type { Alarm, UnreadableEntity } from "./alarms.ts";
import type { Kind } from "./contract.ts";
import type { NodeInfo } from "./node_info.ts";

/**
 * The counts of one node. All but the gauges (`inHand`, `queued`, `leads`, `locks`, `process.rss`) only grow: a rate is
 * the difference of two answers by that of their `up`. Those of one `endpoint` belong together; after a restart all
 * begin at 0.
 */
export interface NodeStats {
  readonly id: string;
  /** The process: `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly service: string;
  /** The wall clock of the node, in ms. */
  readonly now: number;
  /** Uptime, in ms, by a clock that does not jump. */
  readonly up: number;
  /** Handlers that run, and sends that wait for answers. */
  readonly inFlight: number;
  /** Messages of other nodes that wait for their turn. */
  readonly queued: number;
  /** Contracts that the node handles, and those that it has sent or published; the busiest first. */
  readonly contracts: readonly ContractStats[];
  /** Number of contracts that the answer has no room for. */
  readonly moreContracts: number;
  /** The processes that it has sent requests to, those with the most first. */
  readonly peers: readonly PeerStats[];
  /** Names of its leaderships. */
  readonly leads: readonly string[];
  /** Locks that it holds. */
  readonly locks: number;
  /** Deadlocks of locks that ended because this node gave up a lock. */
  readonly cycles: number;
  /** Alarms about what the node sees, without causes; none is left out. */
  readonly alarms?: readonly Alarm[];
  /** Entities that it could not read, the first 100. */
  readonly unreadable?: readonly UnreadableEntity[];
  readonly process: {
    /** Resident memory, in bytes. */
    readonly rss: number;
    /** CPU time that it has used, in ms. */
    readonly cpu: number;
  };
}

/** The node that has counted this, for those who find no record of it. */
export function nodeOfStats({ id, endpoint, service, now, up, contracts, inFlight, queued }: NodeStats): NodeInfo {
  // it counts the contracts of its handlers, and those that it sends
  const handled = contracts.filter(({ handled, sent, published }) => handled > 0 || sent + published === 0);
  return {
    ...{ id, endpoint, service, handles: handled.map(({ name }) => name), metadata: {}, load: { inFlight, queued } },
    ...{ startedAt: now - up, lastSeen: now, server: "", protocol: PROTOCOL, version: VERSION },
  };
}

/**
 * Counts of a node about one contract. Failures stand by their code; those after the first 64 codes, other than
 * Catga's, are `_OTHER`.
 */
export interface ContractStats {
  readonly name: string;
  readonly kind: Kind;
  /** Runs of handlers that have ended: requests, events, and messages of the log. */
  readonly handled: number;
  /**
   * Failed ones, and requests that were refused before a handler saw them (`OVERLOADED`, for instance).
   */
  readonly failed: Readonly<Record<string, number>>;
  /** Code and message of the last failure that the handler did not decide on; the beginning of a long one. */
  readonly failure?: string;
  /** Handlers that run, those that return at once not counted. */
  readonly inHand: number;
  /** Messages of other nodes that wait for their turn. */
  readonly queued: number;
  /**
   * Runs of handlers by how long they took, in the buckets of `data/latency_buckets.ts`, cut behind the last that is
   * not 0: from the arrival of the message at this node (of a send of its own, from the send) to the end of the
   * handler. Requests of other processes are all timed; of sends, events and messages of the log that are many in a ms,
   * one that is timed stands for up to 4,096. Streams are not timed.
   */
  readonly latency: readonly number[];
  /** Requests that this node has sent and that have ended; to its own handlers, too. */
  readonly sent: number;
  /** Requests among them that failed, by code. */
  readonly sendFailed: Readonly<Record<string, number>>;
  /** Events that arrived, once for each handler of this node. */
  readonly heard: number;
  /** Events that it has published, and queued commands. */
  readonly published: number;
}

/** The part of the counts between two answers. */
export type Counted = ReturnType<typeof countedSince>;

/**
 * Counts of each contract since an earlier answer of its process; `undefined` if they are not known: there is no
 * earlier answer, or it had no room for the contract, which begins with the next one then.
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
 * Counts of a contract since an earlier answer of its process; `undefined`: since its start. Counts only grow: one that
 * has become less is of something else, and taken as 0.
 */
function countedSince(now: ContractStats, before: ContractStats | undefined) {
  const grown = (to: number, from = 0) => Math.max(0, to - from);
  return {
    handled: grown(now.handled, before?.handled),
    sent: grown(now.sent, before?.sent),
    published: grown(now.published, before?.published),
    /** Requests that found no node. */
    unhandled: grown(now.sendFailed.NO_HANDLER ?? 0, before?.sendFailed.NO_HANDLER),
    /** Failures by code, those that there were. */
    failed: Object.entries(now.failed)
      .map(([code, count]) => [code, grown(count, before?.failed[code])] as const)
      .filter(([, count]) => count > 0),
    latency: now.latency.map((count, bucket) => grown(count, before?.latency[bucket])),
  };
}

/** Counts of a node about another process. */
export interface PeerStats {
  readonly id: string;
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  /** Requests of the node to it. */
  readonly sent: number;
  /** Requests that it answered with a value. */
  readonly answered: number;
  /** Requests that it answered with a failure or refused, or that it did not get or answer. */
  readonly failed: number;
}
