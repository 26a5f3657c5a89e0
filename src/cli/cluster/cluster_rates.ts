/** Computes rates of a cluster per second, from the counts in two successive answers of each node. */
import { type ContractStats, type Counted, countedBetween, type NodeStats } from "../../contract/nodes/node_stats.ts";
import { quantile } from "../../data/latency_buckets.ts";

/** The last two answers of a node to requests for its statistics. */
export interface NodeSample {
  readonly id: string;
  readonly service: string;
  readonly before?: NodeStats | undefined;
  readonly now?: NodeStats | undefined;
  /** Reason why the node has not answered the last request; absent: it has answered. */
  readonly note?: string | undefined;
  /** Why the node's program says that it is not ready; absent: it is ready. */
  readonly unready?: string | undefined;
}

/** Rates of a node between its last two answers; absent until the node has answered twice. */
export interface NodeRates {
  readonly node: string;
  readonly service: string;
  readonly note?: string;
  /** Why the node's program says that it is not ready; absent: it is ready. */
  readonly unready?: string;
  /** Time since the node's process began, in ms. */
  readonly up?: number;
  readonly inFlight?: number;
  readonly queued?: number;
  /** Resident memory of the node's process, in bytes. */
  readonly rss?: number;
  readonly leads?: readonly string[];
  readonly rates?: {
    /** Number of runs of handlers that ended, per second. */
    readonly handled: number;
    /** Number of sends that ended, per second. */
    readonly sent: number;
    readonly failed: number;
    /** Share of one core that the node's process used. */
    readonly cpu: number;
  };
}

/**
 * Rates of a contract per second, for all nodes together. `inHand` and `queued` are numbers of messages at the end of
 * the interval.
 */
export interface ContractRow
  extends Pick<ContractStats, "kind" | "handled" | "failed" | "inHand" | "queued" | "sent" | "published"> {
  readonly contract: string;
  /** Median duration of the runs of handlers, in ms; absent if there were none. */
  readonly p50?: number;
  /** 99th percentile of the duration of the runs of handlers, in ms; absent if there were none. */
  readonly p99?: number;
  /** Number of nodes that have counted this contract. */
  readonly nodes: number;
}

/** Rates of all nodes, sorted by id, and of all contracts, the contracts with the most messages first. */
export interface ClusterRates {
  readonly nodes: readonly NodeRates[];
  readonly contracts: readonly ContractRow[];
  /** Greatest number of contracts that any node has left out of its answer. */
  readonly moreContracts: number;
}

/**
 * Computes the rates of a cluster from the last two answers of each node.
 * @decides `catga top`: rates from counters
 */
export function clusterRates(samples: readonly NodeSample[]): ClusterRates {
  const sums = new Map<string, Sum>();
  const nodes = samples.map((sample): NodeRates => {
    const { now, note, unready } = sample;
    const node = { node: sample.id, service: sample.service, ...(unready === undefined ? {} : { unready }) };
    if (now === undefined) return { ...node, ...(note === undefined ? {} : { note }) };
    const { up, inFlight, queued, leads, process: { rss, cpu } } = now;
    const before = earlier(sample);
    const seconds = before === undefined ? 0 : (up - before.up) / 1_000;
    const rates = { handled: 0, sent: 0, failed: 0 };
    for (const [contract, counted] of countedBetween(before, now)) {
      const sum = sums.get(contract.name) ?? new Sum(contract);
      sums.set(contract.name, sum);
      const more = sum.add(contract, counted, seconds);
      rates.handled += more.handled;
      rates.sent += more.sent;
      rates.failed += more.failed;
    }
    const known = { ...node, up, inFlight, queued, rss, leads };
    if (before === undefined) return known;
    return { ...known, rates: { ...rates, cpu: (cpu - before.process.cpu) / (seconds * 1_000) } };
  });
  return {
    nodes: nodes.sort((a, b) => (a.node < b.node ? -1 : 1)),
    contracts: [...sums.values()].map((sum) => sum.rates)
      .sort((a, b) => busy(b) - busy(a) || (a.contract < b.contract ? -1 : 1)),
    moreContracts: Math.max(0, ...samples.map(({ now }) => now?.moreContracts ?? 0)),
  };
}

/** Returns the earlier answer of a node, if it is of the same process, and old enough to compute rates. */
function earlier({ before, now }: NodeSample): NodeStats | undefined {
  if (before === undefined || now === undefined || before.endpoint !== now.endpoint) return undefined;
  return now.up - before.up >= SHORTEST ? before : undefined;
}

/** Adds up the rates of one contract over all nodes. */
class Sum {
  readonly #contract: Pick<ContractStats, "name" | "kind">;
  readonly #totals = { handled: 0, sent: 0, published: 0, inHand: 0, queued: 0, nodes: 0 };
  readonly #failed = new Map<string, number>();
  readonly #latency: number[] = [];

  constructor(contract: Pick<ContractStats, "name" | "kind">) {
    this.#contract = contract;
  }

  /**
   * Adds a node's rates for this contract to the sums, and returns them (per second). `now`: the node's last answer;
   * `counted`: its counts in the `seconds` before that; `undefined`: unknown, so the rates are 0.
   */
  add(
    now: ContractStats,
    counted: Counted | undefined,
    seconds: number,
  ): { handled: number; sent: number; failed: number } {
    const totals = this.#totals;
    totals.nodes++;
    totals.inHand += now.inHand;
    totals.queued += now.queued;
    if (counted === undefined) return { handled: 0, sent: 0, failed: 0 };
    const [handled, sent] = [counted.handled / seconds, counted.sent / seconds];
    totals.handled += handled;
    totals.sent += sent;
    totals.published += counted.published / seconds;
    let failed = 0;
    for (const [code, count] of counted.failed) {
      failed += count / seconds;
      this.#failed.set(code, (this.#failed.get(code) ?? 0) + count / seconds);
    }
    for (const [bucket, count] of counted.latency.entries()) {
      this.#latency[bucket] = (this.#latency[bucket] ?? 0) + count;
    }
    return { handled, sent, failed };
  }

  get rates(): ContractRow {
    const { name: contract, kind } = this.#contract;
    const [p50, p99] = [quantile(this.#latency, 0.5), quantile(this.#latency, 0.99)];
    // an object without a prototype, because an error code may be `__proto__`
    const failed: Record<string, number> = Object.create(null);
    for (const [code, rate] of [...this.#failed].sort(([, a], [, b]) => b - a)) failed[code] = rate;
    return {
      contract,
      kind,
      ...this.#totals,
      failed,
      ...(p50 === undefined || p99 === undefined ? {} : { p50, p99 }),
    };
  }
}

function busy({ handled, sent, published }: ContractRow): number {
  return handled + sent + published;
}

const SHORTEST = 10; // ms: minimum time between two answers of which rates are computed
