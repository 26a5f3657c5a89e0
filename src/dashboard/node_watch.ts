/**
 * The nodes, and whether they are alive: their records as they change, and an answer of each about once a second. A
 * process that has ended, or has no connection at the moment, bounces a ping at once; one that is silent is suspect.
 */
import { readRecord } from "../cluster/membership/node_record.ts";
import type { NodeInfo } from "../contract/node_info.ts";
import type { NodeStats } from "../contract/node_stats.ts";
import type { Clock } from "../ports/clock.ts";
import type { Change } from "../ports/key_value_store.ts";
import { shownText } from "./shown.ts";
import type { Capped, NodeView, SourceAsker } from "./view.ts";
import type { TrafficNode } from "./traffic.ts";

interface Watched {
  info: NodeInfo;
  state: NodeView["state"];
  since: number;
  /** Whether its record is there: it is asked then, also when it was gone. */
  recorded: boolean;
  load: readonly [number, number];
  ping: number | undefined;
  /** Questions in a row that were not answered. */
  silences: number;
  asked: boolean;
  stats: NodeStats | undefined;
  cpu: number | undefined;
  /** How often it is only pinged before it is asked for statistics again: it left that question unanswered. */
  pings: number;
}

/** All nodes with a record, and for a while those that had one. */
export class NodeWatch {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Watched>();
  readonly #onStats: (stats: NodeStats) => void;
  #turn = 0;

  /** `onStats` gets what nodes have counted. */
  constructor(clock: Clock, onStats: (stats: NodeStats) => void) {
    this.#clock = clock;
    this.#onStats = onStats;
  }

  /** The nodes that have a record and whose processes have not ended. */
  get present(): NodeInfo[] {
    return [...this.#nodes.values()].filter(({ state }) => state !== "gone").map(({ info }) => info);
  }

  /** A change of the bucket of records. */
  take(change: Change): void {
    const known = this.#nodes.get(change.key);
    if (change.type !== "put") {
      if (known === undefined) return;
      known.recorded = false;
      return this.#become(known, "gone");
    }
    const info = readRecord(change.key, change.value);
    if (typeof info === "string") return;
    const load = [info.load.inFlight, info.load.queued] as const;
    if (known?.info.endpoint === info.endpoint) {
      known.info = info;
      known.load = load;
      known.recorded = true;
      return;
    }
    this.#nodes.set(change.key, {
      ...{ info, load, state: "live", since: this.#clock.now(), recorded: true },
      ...{ ping: undefined, silences: 0, asked: false, stats: undefined, cpu: undefined, pings: 0 },
    });
  }

  /**
   * Asks the nodes whose turn it is, {@link AT_ONCE} at most, and resolves when all have answered or `limit` ms are
   * over.
   */
  async ask(asker: SourceAsker, limit: number): Promise<void> {
    const now = this.#clock.now();
    for (const [key, { state, since }] of this.#nodes) {
      if (state === "gone" && now - since > REMEMBERED) this.#nodes.delete(key);
    }
    const all = [...this.#nodes.values()];
    const turn = all.length <= AT_ONCE ? all : Array.from(
      { length: AT_ONCE },
      (_, i) => all[(this.#turn + i) % all.length],
    );
    this.#turn = all.length === 0 ? 0 : (this.#turn + turn.length) % all.length;
    await Promise.all(turn.map((node) => this.#ask(node, asker, limit)));
  }

  /** Troubled ones first, then by service and id. */
  view(most: number): Capped<NodeView> {
    const order = { suspect: 0, gone: 1, live: 2 } as const;
    const all = [...this.#nodes.values()].sort((a, b) =>
      order[a.state] - order[b.state] || compare(a.info.service, b.info.service) || compare(a.info.id, b.info.id)
    );
    return { shown: all.slice(0, most).map(viewOf), total: all.length };
  }

  /** Those that are there, for the picture. */
  get circles(): TrafficNode[] {
    return [...this.#nodes.values()].map(({ info: { id, endpoint, service }, state }) => ({
      id,
      endpoint,
      service,
      state,
    }))
      .sort((a, b) => compare(a.service, b.service) || compare(a.id, b.id));
  }

  /** Deadlocks of locks that nodes have ended. */
  get cycles(): number {
    return [...this.#nodes.values()].reduce((sum, { stats }) => sum + (stats?.cycles ?? 0), 0);
  }

  /** How many are in each state. */
  counts(): Readonly<Record<NodeView["state"], number>> {
    const counts = { live: 0, suspect: 0, gone: 0 };
    for (const { state } of this.#nodes.values()) counts[state]++;
    return counts;
  }

  async #ask(node: Watched, asker: SourceAsker, limit: number): Promise<void> {
    if (node.asked || !node.recorded) return;
    node.asked = true;
    const { endpoint } = node.info;
    const sent = this.#clock.monotonic();
    const only = node.pings > 0;
    const [told, echo] = await Promise.all([
      only ? undefined : asker.stats(endpoint, limit),
      // one that has answered need not be pinged, too
      node.stats === undefined ? asker.ping(endpoint, limit) : undefined,
    ]);
    node.asked = false;
    if (!node.recorded) return; // removed meanwhile
    if (told?.type === "stats") {
      node.ping = echo?.type === "pong" ? echo.ms : this.#clock.monotonic() - sent;
      this.#counted(node, told.stats);
    } else if (echo?.type === "pong") {
      [node.ping, node.load] = [echo.ms, echo.load];
      node.pings = only ? node.pings - 1 : PINGS;
    } else if (told?.type === "bounce" || echo?.type === "bounce") return this.#become(node, "gone");
    else {
      if (++node.silences >= SILENCES) this.#become(node, "suspect");
      return;
    }
    node.silences = 0;
    this.#become(node, "live");
  }

  #counted(node: Watched, stats: NodeStats): void {
    const before = node.stats;
    const passed = before === undefined ? 0 : stats.up - before.up;
    if (before === undefined || passed > 0) {
      node.cpu = before === undefined ? undefined : (stats.process.cpu - before.process.cpu) / passed;
      node.stats = stats;
      this.#onStats(stats);
    }
    node.load = [stats.inFlight, stats.queued];
  }

  #become(node: Watched, state: NodeView["state"]): void {
    if (node.state === state) return;
    node.state = state;
    node.since = this.#clock.now();
  }
}

/** Pings at once: a cluster of more nodes is asked in turns. */
const AT_ONCE = 256;
/** Questions without an answer until a node is suspect. */
const SILENCES = 2;
/** Pings of a node that did not answer what it has counted. */
const PINGS = 30;
/** How long a node is shown that has gone, in ms. */
const REMEMBERED = 60_000;

function viewOf({ info, state, since, load: [busy, queued], ping, stats, cpu }: Watched): NodeView {
  const { id, service, startedAt, version, metadata, handles } = info;
  return {
    id: shownText(id),
    service: shownText(service),
    state,
    since,
    busy,
    queued,
    ping: ping === undefined ? undefined : Math.round(ping * 10) / 10,
    startedAt,
    version: shownText(version, 40),
    host: shownText(metadata.host ?? ""),
    handles: handles.length,
    // so that it is not sent again for nothing
    memory: stats && Math.round(stats.process.rss / 1_000_000) * 1_000_000,
    cpu: cpu === undefined ? undefined : Math.round(cpu * 100) / 100,
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
