/**
 * Answers processes that ask for this node's statistics. They are computed when asked for, at most ten times a
 * second.
 */
import type { NodeInfo } from "../contract/nodes/node_info.ts";
import type { NodeHost } from "../dispatch/node_host.ts";
import type { Clock } from "../ports/clock.ts";
import type { Endpoint } from "./wire/endpoint.ts";
import { cpuUsage, memoryUsage } from "node:process";
import type { NodeStats, PeerStats } from "../contract/nodes/node_stats.ts";
import { nodeAnswerLimit } from "../data/message_room.ts";
import { byteLength, exceeds } from "../data/utf8.ts";

/** Dependencies of a {@link StatsAnswer} on its node. */
interface StatsAnswerOptions {
  readonly clock: Clock;
  readonly info: Pick<NodeInfo, "id" | "endpoint" | "service">;
  readonly host: Pick<NodeHost, "runner" | "holdings" | "inFlight" | "alarms" | "limits" | "unreadable">;
  readonly endpoint: Pick<Endpoint, "peers" | "payloadLimit"> & { readonly inbound: Pick<Endpoint["inbound"], "load"> };
}

/** The answers of one node to requests for its statistics. */
export class StatsAnswer {
  readonly #options: StatsAnswerOptions;
  readonly #began: number;
  #text = "";
  #madeAt = -Infinity;

  constructor(options: StatsAnswerOptions) {
    this.#options = options;
    this.#began = options.clock.monotonic();
  }

  /**
   * The {@link NodeStats} as JSON, without members that are 0 or empty. If the text is too long, leaders, limits,
   * peers and contracts that do not fit are left out, the least used first.
   */
  text(): string {
    const now = this.#options.clock.monotonic();
    if (now - this.#madeAt < ANSWER_AGE) return this.#text;
    this.#madeAt = now;
    return this.#text = this.#make(now);
  }

  #make(now: number): string {
    const { clock, info: { id, endpoint, service }, host, endpoint: { inbound, payloadLimit } } = this.#options;
    const { user, system } = cpuUsage();
    const { leads, locks, cycles } = host.holdings;
    // errors that handlers threw are left out: more users may read statistics than may read the app's log lines
    const alarms = host.alarms.slice(0, MAX_ALARMS).map(({ cause: _, ...alarm }) => alarm);
    const unreadable = host.unreadable.slice(0, MAX_UNREADABLE).map(({ why, ...entity }) => {
      return { ...entity, why: why.slice(0, LONGEST_WHY) };
    });
    const head: Partial<NodeStats> = {
      ...{ id, endpoint, service, now: Math.round(clock.now()), up: Math.round(now - this.#began) },
      ...{ inFlight: host.inFlight, queued: inbound.load[1], locks, cycles },
      ...(alarms.length === 0 ? {} : { alarms }),
      ...(unreadable.length === 0 ? {} : { unreadable }),
      process: { rss: memoryUsage.rss(), cpu: Math.round((user + system) / 1_000) },
    };
    const limit = nodeAnswerLimit(payloadLimit);
    const peers = this.#peers();
    const contracts = host.runner.counts.all;
    const { limits } = host;
    const whole = JSON.stringify({ ...head, ...(limits.length > 0 && { limits }), leads, peers, contracts });
    return exceeds(whole, limit) ? cut({ head, limits, leads, peers, contracts }, limit) : whole;
  }

  /** Returns the statistics of the peers to which this node has sent requests. */
  #peers(): PeerStats[] {
    const all: PeerStats[] = [];
    for (const { node, endpoint, ledger } of this.#options.endpoint.peers) {
      const { requested, succeeded, failed } = ledger;
      if (requested > 0) all.push({ id: node, endpoint, sent: requested, answered: succeeded, failed });
    }
    return all.sort((a, b) => b.sent - a.sent);
  }
}

/**
 * Returns the statistics as JSON of at most `limit` bytes. Lists that do not fit are shortened; `moreContracts` is
 * the number of contracts left out.
 */
function cut(
  { head, limits, leads, peers, contracts }:
    & { head: object }
    & Record<"limits" | "leads" | "peers" | "contracts", readonly unknown[]>,
  limit: number,
): string {
  const room = limit - byteLength(JSON.stringify(head)) - COMMAS;
  const led = fitting(leads, room / 4);
  const limited = fitting(limits, room / 4);
  const known = fitting(peers, room / 2 - led.size);
  const counted = fitting(contracts, room - led.size - limited.size - known.size);
  return JSON.stringify({
    ...head,
    moreContracts: contracts.length - counted.count,
    ...(limited.count > 0 && { limits: limits.slice(0, limited.count) }),
    leads: leads.slice(0, led.count),
    peers: peers.slice(0, known.count),
    contracts: contracts.slice(0, counted.count),
  });
}

/** Returns how many values of the list fit into `room` bytes as JSON, and their size in bytes. */
function fitting(values: readonly unknown[], room: number): { count: number; size: number } {
  let [count, size] = [0, 0];
  for (const value of values) {
    const more = byteLength(JSON.stringify(value)) + 1;
    if (size + more > room) break;
    size += more;
    count++;
  }
  return { count, size };
}

/** Maximum number of alarms in an answer; the most urgent alarms come first. */
const MAX_ALARMS = 20;
/**
 * Maximum number of unreadable entities listed in an answer, and maximum length of the reason for each, in
 * characters.
 */
const [MAX_UNREADABLE, LONGEST_WHY] = [100, 400];
const ANSWER_AGE = 100; // ms during which a computed answer is returned again
const COMMAS = 256; // bytes: names and brackets of the lists, and the counts of values that are left out
