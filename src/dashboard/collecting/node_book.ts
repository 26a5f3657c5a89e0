/**
 * Observes the nodes of a cluster: the changes of their records, and an answer of each node about once a second. The
 * NATS server returns a ping at once (here called a bounce) if the process has ended, or has no connection at the
 * moment; a node that does not answer is suspect.
 */
import { readRecord, SIGNED_OFF } from "../../cluster/membership/node_record.ts";
import type { LimitHealth, NodeInfo } from "../../contract/nodes/node_info.ts";
import { nodeOfStats, type NodeStats } from "../../contract/nodes/node_stats.ts";
import { compareTexts } from "../../data/text_order.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Change } from "../../ports/key_value_store.ts";
import { type Alarm, declaredName, nodeLabel, type Observed } from "../../contract/nodes/alarms.ts";
import { shownText } from "../shown.ts";
import type { Capped, NodeView } from "../view.ts";
import type { SourceAsker } from "../dashboard_source.ts";
import type { TrafficNode } from "./traffic.ts";

interface Watched {
  info: NodeInfo;
  state: NodeView["state"];
  since: number;
  /** Time at which the node's record was first seen. */
  readonly joined: number;
  /** Time by which the node's clock is ahead of this process's clock, in ms; `undefined`: unknown. */
  ahead: number | undefined;
  /** True if the node has a record, or its record has expired or vanished; the node is then asked. */
  recorded: boolean;
  /**
   * How the node's record has gone without being deleted: its ttl has passed (`expire`), or it was missing when this
   * book, after an interruption, read the records again (`vanish`): such a node may have deleted its record itself,
   * and left in order. `undefined`: the record is there, or was deleted.
   */
  without: "expire" | "vanish" | undefined;
  load: readonly [number, number];
  ping: number | undefined;
  /** Number of questions in a row that the node has not answered. */
  silences: number;
  /** True while a question to the node waits for its answer. */
  asked: boolean;
  stats: NodeStats | undefined;
  cpu: number | undefined;
  /**
   * Number of further questions to the node that are only pings, because it has not answered the last question for
   * statistics; 0: it is asked for statistics.
   */
  pings: number;
}

/**
 * The nodes with a record, and, for a while, nodes whose records are gone.
 * @decides a node counts as silent on the page
 */
export class NodeBook {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Watched>();
  readonly #onStats: (stats: NodeStats, before: NodeStats | undefined) => void;
  readonly #onChange: (what: NodeEvent, node: NodeInfo, more?: string) => void;
  readonly #began: number;
  #turn = 0;
  /** Last time at which there was no connection to NATS, by the monotonic clock. */
  #lost = -Infinity;

  /**
   * `onStats`: called with a node's statistics, and with those of its previous answer. `onChange`: called with each
   * event in the life of a node, and a text about it for people.
   */
  constructor(
    clock: Clock,
    onStats: (stats: NodeStats, before: NodeStats | undefined) => void,
    onChange: (what: NodeEvent, node: NodeInfo, more?: string) => void = () => {},
  ) {
    this.#clock = clock;
    this.#began = clock.now();
    this.#onStats = onStats;
    this.#onChange = onChange;
  }

  /** Nodes that have a record and whose processes have not ended. */
  get present(): NodeInfo[] {
    return [...this.#nodes.values()].filter(isThere).map(({ info }) => info);
  }

  /**
   * Time by which NATS's clock is ahead of this process's clock, in ms. `undefined`: unknown; the median of the nodes'
   * clocks is then taken as the right time.
   */
  serverAhead: number | undefined;

  /**
   * Nodes, for the computation of alarms. A node that is gone is included until another node of its service has
   * joined.
   */
  get observed(): NonNullable<Observed["nodes"]> {
    const all = [...this.#nodes.values()];
    const median = all.flatMap(({ ahead, state }) => ahead === undefined || state !== "live" ? [] : [ahead])
      .sort((a, b) => a - b);
    const right = this.serverAhead ?? median[Math.floor(median.length / 2)] ?? 0;
    const replaced = ({ info: { service }, since }: Watched) =>
      all.some((other) => other.state === "live" && other.info.service === service && other.joined > since);
    return all.filter((node) => node.state !== "drained" && !(node.state === "gone" && replaced(node)))
      .map((node) => ({
        label: labelOf(node.info),
        state: node.state as "live" | "suspect" | "gone", // cast: other states were filtered out above
        since: node.since,
        ahead: node.ahead === undefined ? undefined : node.ahead - right,
      }));
  }

  /** The limits of subscriptions, as their leaders say, by the label of the subscription. */
  get limits(): ReadonlyMap<string, readonly LimitHealth[]> {
    const led = [...this.#nodes.values()].filter(isThere).flatMap(({ stats }) => stats?.limits ?? []);
    return new Map(led.map(({ subscription, limits }) => [subscription, limits]));
  }

  /**
   * Alarms that only nodes can notice, because the nodes ran before this book began, and while it was interrupted. Two
   * alarms are left out: that a node is gone, if this book knows that the node is present or has left in order; and
   * that no node handles a contract, if a present node handles it according to its record, which is newer than the
   * alarm.
   */
  get alarms(): readonly Alarm[] {
    const all = [...this.#nodes.values()];
    const seen = ({ state, without }: Watched) => state !== "gone" && !(state === "drained" && without === "vanish");
    const known = new Set(all.filter(seen).map(({ info }) => nodeLabel(info)));
    const there = all.filter(isThere);
    // the set is computed when it is first needed, which is rare
    let handled: ReadonlySet<string> | undefined;
    const declared = () => handled ??= new Set(there.flatMap(({ info }) => info.handles.map(declaredName)));
    return there.flatMap(({ stats }) => stats?.alarms ?? []).filter(({ kind, about }) =>
      OF_NODES.has(kind) && !(kind === "node-gone" && known.has(about)) &&
      !(kind === "no-node" && declared().has(about))
    );
  }

  /**
   * For each contract name, the labels of the nodes that handle the contract now, and of the nodes that handled it
   * before they ended.
   */
  get handlers(): ReadonlyMap<string, ContractHandlers> {
    const found = new Map<string, ContractHandlers>();
    for (const { info, state, since } of this.#nodes.values()) {
      const label = labelOf(info);
      for (const name of info.handles) {
        const known = found.get(name) ?? { now: [], last: [], since: 0, signedOff: true };
        if (isThere({ state })) known.now.push(label);
        else {
          known.last.push(label);
          known.since = Math.max(known.since, since);
          known.signedOff &&= state === "drained";
        }
        found.set(name, known);
      }
    }
    return found;
  }

  /** Applies a change of the bucket of nodes' records. */
  take(change: Change): void {
    const known = this.#nodes.get(change.key);
    if (change.type !== "put") {
      // a node whose record has expired or vanished stays, and is asked: it may live, and be unable to write its
      // record, as when the store is full
      if (known === undefined) return;
      if (change.type !== "delete") return void (known.without ??= change.type);
      known.recorded = false;
      return this.#become(known, change.note === SIGNED_OFF ? "drained" : "gone");
    }
    const info = readRecord(change.key, change.value);
    if (typeof info === "string") return;
    if (known?.info.endpoint === info.endpoint) {
      known.info = info;
      known.load = loadOf(info);
      known.recorded = true;
      known.without = undefined;
      return;
    }
    const changes = this.#changes(info);
    this.#add(info);
    if (changes !== "") this.#onChange("deployed", info, changes);
  }

  /**
   * Begins a time in which it proves nothing that a node does not answer, or that the server returns its ping: the node
   * may be reconnecting to NATS, like this process. Called while there is no connection to NATS.
   */
  lost(): void {
    this.#lost = this.#clock.monotonic();
    for (const node of this.#nodes.values()) node.silences = 0;
  }

  /**
   * Asks the next {@link MAX_CONCURRENT_PINGS} nodes: successive calls go through all nodes in a circle. Resolves when
   * those asked have answered, or after `limit` ms.
   */
  async ask(asker: SourceAsker, limit: number): Promise<void> {
    const now = this.#clock.now();
    for (const [key, { state, since }] of this.#nodes) {
      if (now - since > (state === "gone" ? REMEMBERED : state === "drained" ? SHOWN : Infinity)) {
        this.#nodes.delete(key);
      }
    }
    const all = [...this.#nodes.values()];
    const count = Math.min(MAX_CONCURRENT_PINGS, all.length);
    const turn = Array.from({ length: count }, (_, i) => all[(this.#turn + i) % all.length]);
    this.#turn = all.length === 0 ? 0 : (this.#turn + turn.length) % all.length;
    await Promise.all(turn.map((node) => this.#ask(node, asker, limit)));
  }

  /**
   * Asks a process that has no record, for example because the store is full. If it answers within `limit` ms, it is
   * added as a node, and returned; else `undefined`.
   */
  async meet(endpoint: string, asker: SourceAsker, limit: number): Promise<NodeInfo | undefined> {
    const told = await asker.stats(endpoint, limit);
    const { id } = told.type === "stats" ? told.stats : { id: "" };
    const known = this.#nodes.get(id);
    if (told.type !== "stats" || (known !== undefined && isThere(known))) return undefined;
    const info = nodeOfStats(told.stats);
    this.#add(info);
    return info;
  }

  /** Returns the nodes for the page: those in trouble first, then by service and id; at most `most`. */
  view(most: number): Capped<NodeView> {
    const order = { suspect: 0, gone: 1, drained: 2, live: 3 } as const;
    const all = this.#shown.sort((a, b) =>
      order[a.state] - order[b.state] || compareTexts(a.info.service, b.info.service) ||
      compareTexts(a.info.id, b.info.id)
    );
    return { shown: all.slice(0, most).map(viewOf), total: all.length };
  }

  /** The present nodes, for the picture of the requests between nodes. */
  get circles(): TrafficNode[] {
    return this.#shown
      .map(({ info, state }) => ({
        ...{ id: info.id, label: labelOf(info), endpoint: info.endpoint, service: info.service, state },
      }))
      .sort((a, b) => compareTexts(a.service, b.service) || compareTexts(a.id, b.id));
  }

  /** Returns the label of the node with this id; the id itself if there is no such node. */
  label(id: string): string {
    const known = this.#nodes.get(id);
    return known === undefined ? shownText(id) : labelOf(known.info);
  }

  /** Number of deadlocks of locks that the nodes have ended. */
  get cycles(): number {
    return [...this.#nodes.values()].reduce((sum, { stats }) => sum + (stats?.cycles ?? 0), 0);
  }

  /** Returns the number of nodes in each state. */
  counts(): Readonly<Record<NodeView["state"], number>> {
    const counts = { live: 0, suspect: 0, gone: 0, drained: 0 };
    for (const { state } of this.#shown) counts[state]++;
    return counts;
  }

  /** Nodes that are present, or were until a moment ago; the page shows them. */
  get #shown(): Watched[] {
    const now = this.#clock.now();
    return [...this.#nodes.values()].filter((node) => isThere(node) || now - node.since <= SHOWN);
  }

  async #ask(node: Watched, asker: SourceAsker, limit: number): Promise<void> {
    if (node.asked || !node.recorded) return;
    const { endpoint } = node.info;
    const sent = this.#clock.monotonic();
    node.asked = true;
    const only = node.pings > 0;
    const [told, echo] = await Promise.all([
      only ? undefined : asker.stats(endpoint, limit),
      // a node with statistics is not pinged as well: its answer to the question for statistics is enough
      node.stats === undefined ? asker.ping(endpoint, limit) : undefined,
    ]);
    node.asked = false;
    if (!node.recorded) return; // the answers are ignored if the node's record was removed meanwhile
    if (told?.type === "stats") {
      node.ping = echo?.type === "pong" ? echo.ms : this.#clock.monotonic() - sent;
      node.ahead = told.stats.now + (this.#clock.monotonic() - sent) / 2 - this.#clock.now();
      this.#counted(node, told.stats);
    } else if (echo?.type === "pong") {
      [node.ping, node.load] = [echo.ms, echo.load];
      node.pings = only ? node.pings - 1 : PINGS;
    } else if (this.#clock.monotonic() - this.#lost < SILENCE_GRACE) return;
    else if (told?.type === "bounce" || echo?.type === "bounce") {
      // a ping that the server returns after unanswered pings does not count: the link may have carried nothing, so
      // that a deletion of the node's record, by which it left in order, may still be on its way
      if (node.silences > 0) return void (node.silences = 0);
      // a node whose record vanished is shown as left in order, as nodes treat it; a node that has seen it die reports
      // an alarm
      return this.#become(node, node.without === "vanish" && node.state !== "gone" ? "drained" : "gone");
    } else {
      // a gone node stays gone, because another node may have taken its place
      if (++node.silences >= SILENCES && node.state !== "gone") this.#become(node, "suspect");
      return;
    }
    node.silences = 0;
    this.#become(node, "live");
  }

  #counted(node: Watched, stats: NodeStats): void {
    // no rates are computed for the time in which the node was gone, because its length is unknown
    const before = node.state === "gone" ? undefined : node.stats;
    const passed = before === undefined ? 0 : stats.up - before.up;
    if (before === undefined || passed > 0) {
      node.cpu = before === undefined ? undefined : (stats.process.cpu - before.process.cpu) / passed;
      node.stats = stats;
      this.#onStats(stats, before);
    }
    node.load = [stats.inFlight, stats.queued];
  }

  #add(info: NodeInfo): void {
    this.#onChange("joined", info);
    const now = this.#clock.now();
    this.#nodes.set(info.id, {
      ...{ info, load: loadOf(info), state: "live", since: now, joined: now, recorded: true, without: undefined },
      ...{ ahead: undefined, ping: undefined, silences: 0, asked: false, stats: undefined, cpu: undefined, pings: 0 },
    });
  }

  /**
   * Returns text for a new deployment: the differences in version and metadata between a node that began after this
   * book and all others of its service. Empty: the node is the first of its service, or each value equals that of
   * another node.
   */
  #changes(info: NodeInfo): string {
    const others = [...this.#nodes.values()].filter(({ info: { service } }) => service === info.service);
    if (others.length === 0 || info.startedAt < this.#began) return "";
    const news = Object.entries(tellingOf(info)).flatMap(([name, value]) => {
      const before = [...new Set(others.map((other) => tellingOf(other.info)[name] ?? "none"))];
      return before.includes(value) ? [] : [`${name} ${value}, before ${before.slice(0, NAMED).join(", ")}`];
    });
    return shownText(news.join("; "), 200);
  }

  #become(node: Watched, state: NodeView["state"]): void {
    if (node.state === state) return;
    this.#onChange(state === "live" ? "answers" : state, node.info);
    node.state = state;
    node.since = this.#clock.now();
  }
}

/** Maximum number of nodes that are asked at once; in a larger cluster the nodes are asked in turns. */
const MAX_CONCURRENT_PINGS = 256;
/** Time after a lost connection in which silence of nodes proves nothing, in ms, because nodes reconnect, too. */
const SILENCE_GRACE = 3_000;
/** Number of questions without an answer after which a node is suspect. */
const SILENCES = 2;
/** Maximum number of earlier values that the text about a new deployment names. */
const NAMED = 3;
/** Number of rounds in which a node is only pinged after it has not answered a question for statistics. */
const PINGS = 30;
/** Time for which the page shows a gone node, in ms. */
const SHOWN = 60_000;
/** Time for which a gone node is remembered for alarms, in ms. */
const REMEMBERED = 15 * 60_000;
/** Kinds of alarms that only nodes can notice. */
const OF_NODES: ReadonlySet<string> = new Set([
  "namespace-split",
  "no-node",
  "breaker-open",
  "subscription-stopped",
  "subscription-lagging",
  "message-expiring",
  "handler-failing",
  "handler-hanging",
  "loop-blocked",
  "node-overloaded",
  "node-gone",
  "run-stuck",
  "version-away",
  "schema-mismatch",
  "entity-unreadable",
  "store-full",
  "wrong-settings",
]);

/**
 * Events in the life of a node. `deployed`: it is the first node of its service with another version or other
 * metadata.
 */
export type NodeEvent = "joined" | "deployed" | "answers" | "suspect" | "gone" | "drained";

/**
 * Returns the version and metadata of a node by which releases differ: without host and address, which do not belong
 * to a release.
 */
function tellingOf({ version, metadata: { host: _, address: __, ...metadata } }: NodeInfo): Record<string, string> {
  return { ...metadata, Catga: version };
}

interface ContractHandlers {
  readonly now: string[];
  readonly last: string[];
  /** Time at which the last of the absent nodes ended. */
  since: number;
  /** True if all absent nodes have left in order. */
  signedOff: boolean;
}

function loadOf({ load: { inFlight, queued } }: NodeInfo): readonly [number, number] {
  return [inFlight, queued];
}

function isThere({ state }: Pick<Watched, "state">): boolean {
  return state === "live" || state === "suspect";
}

/** Returns the label of a node, made safe to show. */
export function labelOf(info: NodeInfo): string {
  return shownText(nodeLabel(info), 60);
}

function viewOf({ info, state, since, load: [busy, queued], ping, stats, cpu }: Watched): NodeView {
  const { id, service, startedAt, version, metadata, handles } = info;
  return {
    id: shownText(id),
    label: labelOf(info),
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
    // the memory is rounded, so that an unchanged value is not sent again
    memory: stats && Math.round(stats.process.rss / 1_000_000) * 1_000_000,
    cpu: cpu === undefined ? undefined : Math.round(cpu * 100) / 100,
  };
}
