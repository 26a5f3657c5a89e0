/**
 * Computes rates, failures and latencies of contracts in the last seconds and in the last 15 minutes, from the counts
 * of nodes. The counts of a process only grow, so rates are differences between two answers of one process.
 */
import { isBusiness, type ObservedContract } from "../../contract/nodes/alarms.ts";
import { type ContractStats, type Counted, countedBetween, type NodeStats } from "../../contract/nodes/node_stats.ts";
import { quantile } from "../../data/latency_buckets.ts";
import { shownText } from "../shown.ts";
import type { Capped, ContractPoint, ContractView } from "../view.ts";

interface RateWindow {
  handled: number;
  failed: number;
  latency: number[];
  /** Number of failures by error code. */
  readonly codes: Map<string, number>;
  /** Number of requests that failed because no node handles the contract. */
  unhandled: number;
}

interface RatedContract {
  readonly name: string;
  readonly kind: ContractView["kind"];
  /** Counts of the last seconds, one entry for each second, the newest last. */
  readonly seconds: RateWindow[];
  readonly points: ContractPoint[];
  /** Number of failures by code, since the dashboard first asked the nodes. */
  readonly codes: Map<string, number>;
  /** Text of the last failure that a handler did not report with a code of its own. */
  failure?: string | undefined;
  inHand: Map<string, number>;
}

/** Computes the rates of all contracts of a cluster from its nodes' counts. */
export class ContractRates {
  readonly #contracts = new Map<string, RatedContract>();
  #ticks = 0;

  /**
   * Adds a node's answer with its counts. `before`: the node's earlier answer, if there is one since collecting
   * began.
   */
  take(now: Pick<NodeStats, "endpoint" | "contracts">, before?: Pick<NodeStats, "contracts" | "moreContracts">): void {
    for (const [stats, counted] of countedBetween(before, now)) {
      const contract = this.#of(stats);
      if (contract === undefined) continue;
      contract.inHand.set(now.endpoint, stats.inHand + stats.queued);
      if (counted === undefined) continue;
      add(contract, counted);
      if (counted.failed.length > 0) contract.failure = stats.failure ?? contract.failure;
    }
  }

  /** Forgets the counts of all processes except the processes at these endpoints. */
  keep(endpoints: ReadonlySet<string>): void {
    for (const { inHand } of this.#contracts.values()) {
      for (const endpoint of inHand.keys()) if (!endpoints.has(endpoint)) inHand.delete(endpoint);
    }
  }

  /** Ends a second. If it is the last second of a point of the graphs, returns the new points, by contract name. */
  tick(): Readonly<Record<string, ContractPoint>> | undefined {
    const isPoint = ++this.#ticks % POINT === 0;
    const made: Record<string, ContractPoint> = Object.create(null);
    for (const contract of this.#contracts.values()) {
      if (isPoint) {
        const point = pointOf(contract.seconds);
        contract.points.push(point);
        if (contract.points.length > POINTS) contract.points.shift();
        made[contract.name] = point;
      }
      contract.seconds.push(second());
      if (contract.seconds.length > POINT) contract.seconds.shift();
    }
    return isPoint ? made : undefined;
  }

  /**
   * Data from which alarms are computed, by contract name: failures of the last seconds by code, the last failure, and
   * whether requests found no node that handles the contract.
   */
  get observed(): ReadonlyMap<
    string,
    Required<Pick<ObservedContract, "failures" | "wanted">> & Pick<ObservedContract, "cause">
  > {
    return new Map([...this.#contracts.values()].map(({ name, seconds, failure: cause }) => {
      const failures: Record<string, number> = Object.create(null);
      for (const { codes } of seconds.slice(-RECENT)) {
        for (const [code, count] of codes) failures[code] = (failures[code] ?? 0) + count;
      }
      return [name, { failures, wanted: seconds.some(({ unhandled }) => unhandled > 0), cause }];
    }));
  }

  /**
   * Returns the contracts with their rates, the busiest first, at most `most`. `handlers`: returns the labels of the
   * nodes that handle a contract.
   */
  view(most: number, handlers: (name: string) => readonly string[] = () => []): Capped<ContractView> {
    const all = [...this.#contracts.values()].map((contract) => viewOf(contract, handlers(contract.name)))
      .sort((a, b) => b.rate - a.rate || b.failing - a.failing || (a.name < b.name ? -1 : 1));
    return { shown: all.slice(0, most), total: all.length };
  }

  /** Returns the points of the graphs of these contracts. */
  history(names: Iterable<string>): Readonly<Record<string, readonly ContractPoint[]>> {
    const history: Record<string, readonly ContractPoint[]> = Object.create(null);
    for (const name of names) history[name] = this.#contracts.get(name)?.points ?? [];
    return history;
  }

  #of({ name, kind }: ContractStats): RatedContract | undefined {
    const known = this.#contracts.get(name);
    if (known !== undefined || this.#contracts.size >= MAX_CONTRACTS) return known;
    const seconds = [second()];
    const made: RatedContract = { name, kind, seconds, points: [], codes: new Map(), inHand: new Map() };
    this.#contracts.set(name, made);
    return made;
  }
}

/** Adds counts to the present second of a contract. */
function add(contract: RatedContract, { handled, failed, unhandled, latency }: Counted): void {
  const second = contract.seconds.at(-1)!; // `seconds` is never empty
  second.handled += handled;
  second.unhandled += unhandled;
  for (const [code, count] of failed) {
    second.failed += count;
    second.codes.set(code, (second.codes.get(code) ?? 0) + count);
    const known = contract.codes.has(code) || contract.codes.size < CODES ? code : "_OTHER";
    contract.codes.set(known, (contract.codes.get(known) ?? 0) + count);
  }
  for (const [bucket, count] of latency.entries()) second.latency[bucket] = (second.latency[bucket] ?? 0) + count;
}

function second(): RateWindow {
  return { handled: 0, failed: 0, latency: [], codes: new Map(), unhandled: 0 };
}

function viewOf({ name, kind, seconds, codes, inHand }: RatedContract, handlers: readonly string[]): ContractView {
  const [rate, failing, p50, p99] = pointOf(seconds);
  const refused = seconds.flatMap(({ codes }) => [...codes]).filter(([code]) => isBusiness(code));
  return {
    name,
    kind,
    rate,
    failing,
    p50,
    p99,
    inHand: [...inHand.values()].reduce((sum, each) => sum + each, 0),
    codes: [...codes].sort(([, a], [, b]) => b - a).slice(0, SHOWN_CODES).map(([code, n]) => [shownText(code, 60), n]),
    nodes: handlers.slice(0, NAMED),
    handlers: handlers.length,
    refusing: short(refused.reduce((sum, [, count]) => sum + count, 0) / seconds.length),
  };
}

function pointOf(seconds: readonly RateWindow[]): ContractPoint {
  const sum = (of: "handled" | "failed") => seconds.reduce((total, each) => total + each[of], 0) / seconds.length;
  const latency: number[] = [];
  for (const each of seconds) {
    for (const [bucket, count] of each.latency.entries()) latency[bucket] = (latency[bucket] ?? 0) + (count ?? 0);
  }
  const counts = Array.from(latency, (count) => count ?? 0);
  const [p50, p99] = [0.5, 0.99].map((share) => nullable(quantile(counts, share)));
  return [short(sum("handled")), short(sum("failed")), p50, p99];
}

function nullable(ms: number | undefined): number | null {
  return ms === undefined ? null : short(ms);
}

/** Rounds a number to three significant digits. */
function short(n: number): number {
  return Number(n.toPrecision(3));
}

/** Number of seconds for which a failure counts as new. */
const RECENT = 3;
/** Maximum number of nodes whose labels are shown for a contract. */
const NAMED = 12;
/** Number of seconds that one point of a graph covers. */
const POINT = 10;
/** Number of points of a graph: 15 minutes. */
const POINTS = 90;
/** Maximum number of contracts whose rates are computed. */
const MAX_CONTRACTS = 5_000;
/** Maximum number of error codes that are counted for a contract. */
const CODES = 64;
const SHOWN_CODES = 5;
