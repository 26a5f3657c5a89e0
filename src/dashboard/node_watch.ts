/**
 * The nodes, and whether they are alive: their records as they change, and an answer of each about once a second. A
 * process that has ended, or has no connection at the moment, bounces a ping at once; one that is silent is suspect.
 */
import { readRecord, SIGNED_OFF } from "../cluster/membership/node_record.ts";
import type { NodeInfo } from "../contract/node_info.ts";
import { nodeOfStats, type NodeStats } from "../contract/node_stats.ts";
import type { Clock } from "../ports/clock.ts";
import type { Change } from "../ports/key_value_store.ts";
import { type Alarm, declaredName, nodeLabel, type Observed } from "../contract/alarms.ts";
import { shownText } from "./shown.ts";
import type { Capped, NodeView } from "./view.ts";
import type { SourceAsker } from "./dashboard_source.ts";
import type { TrafficNode } from "./traffic.ts";

interface Watched {
  info: NodeInfo;
  state: NodeView["state"];
  since: number;
  /** When its record was first seen. */
  readonly joined: number;
  /** By how much its clock is ahead of this one's, in ms. */
  ahead: number | undefined;
  /** Whether its record is there: it is asked then, also when it was gone. */
  recorded: boolean;
  /** How its record has gone, if not deleted; one that vanished while this watch saw nothing may have signed off. */
  without: "expire" | "vanish" | undefined;
  load: readonly [number, number];
  ping: number | undefined;
  /** Questions in a row that were not answered. */
  silences: number;
  /** It was asked what it has not answered yet. */
  asked: boolean;
  stats: NodeStats | undefined;
  cpu: number | undefined;
  /** How often it is only pinged before it is asked for statistics again: it left that question unanswered. */
  pings: number;
}

/** All nodes with a record, and for a while those that had one. */
export class NodeBook {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Watched>();
  readonly #onStats: (stats: NodeStats, before: NodeStats | undefined) => void;
  readonly #onChange: (what: NodeEvent, node: NodeInfo, more?: string) => void;
  readonly #began: number;
  #turn = 0;
  /** When there was no connection last, by the monotonic clock. */
  #lost = -Infinity;

  /**
   * `onStats` gets what nodes have counted, and had before, `onChange` what becomes of them, and more about it for
   * people.
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

  /** The nodes that have a record and whose processes have not ended. */
  get present(): NodeInfo[] {
    return [...this.#nodes.values()].filter(isThere).map(({ info }) => info);
  }

  /** By how much the clock of NATS is ahead of this one's, in ms; `undefined`: the median clock is taken for right. */
  serverAhead: number | undefined;

  /** What alarms are made of; one that is gone counts until another of its service has joined. */
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
        state: node.state as "live" | "suspect" | "gone", // filtered above
        since: node.since,
        ahead: node.ahead === undefined ? undefined : node.ahead - right,
      }));
  }

  /**
   * Alarms that only nodes can see, who were there before, and while this watch saw nothing; that of a node that has
   * gone unless it was seen here, and of a contract unless a node that is there handles it, which is newer.
   */
  get alarms(): readonly Alarm[] {
    const all = [...this.#nodes.values()];
    const seen = ({ state, without }: Watched) => state !== "gone" && !(state === "drained" && without === "vanish");
    const known = new Set(all.filter(seen).map(({ info }) => nodeLabel(info)));
    const there = all.filter(isThere);
    // hardly ever needed
    let handled: ReadonlySet<string> | undefined;
    const declared = () => handled ??= new Set(there.flatMap(({ info }) => info.handles.map(declaredName)));
    return there.flatMap(({ stats }) => stats?.alarms ?? []).filter(({ kind, about }) =>
      OF_NODES.has(kind) && !(kind === "node-gone" && known.has(about)) &&
      !(kind === "no-node" && declared().has(about))
    );
  }

  /** By contract, the labels of the nodes that handle it now, and of those that did before they ended. */
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

  /** A change of the bucket of records. */
  take(change: Change): void {
    const known = this.#nodes.get(change.key);
    if (change.type !== "put") {
      // one that expired or vanished could not be written, as in a full store: its process is asked whether it lives
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

  /** There is no connection now: for some time, in which nodes connect again, too, nothing shows that one is away. */
  lost(): void {
    this.#lost = this.#clock.monotonic();
    for (const node of this.#nodes.values()) node.silences = 0;
  }

  /**
   * Asks the nodes whose turn it is, {@link AT_ONCE} at most, and resolves when all have answered or `limit` ms are
   * over.
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

  /** Asks a process that has no record, as in a full store. One that answers is a node, and returned. */
  async meet(endpoint: string, asker: SourceAsker, limit: number): Promise<NodeInfo | undefined> {
    const told = await asker.stats(endpoint, limit);
    const { id } = told.type === "stats" ? told.stats : { id: "" };
    const known = this.#nodes.get(id);
    if (told.type !== "stats" || (known !== undefined && isThere(known))) return undefined;
    const info = nodeOfStats(told.stats);
    this.#add(info);
    return info;
  }

  /** Troubled ones first, then by service and id. */
  view(most: number): Capped<NodeView> {
    const order = { suspect: 0, gone: 1, drained: 2, live: 3 } as const;
    const all = this.#shown.sort((a, b) =>
      order[a.state] - order[b.state] || compare(a.info.service, b.info.service) || compare(a.info.id, b.info.id)
    );
    return { shown: all.slice(0, most).map(viewOf), total: all.length };
  }

  /** Those that are there, for the picture. */
  get circles(): TrafficNode[] {
    return this.#shown
      .map(({ info, state }) => ({
        ...{ id: info.id, label: labelOf(info), endpoint: info.endpoint, service: info.service, state },
      }))
      .sort((a, b) => compare(a.service, b.service) || compare(a.id, b.id));
  }

  /** The label of a node by its id; the id, if no such node is known. */
  label(id: string): string {
    const known = this.#nodes.get(id);
    return known === undefined ? shownText(id) : labelOf(known.info);
  }

  /** Deadlocks of locks that nodes have ended. */
  get cycles(): number {
    return [...this.#nodes.values()].reduce((sum, { stats }) => sum + (stats?.cycles ?? 0), 0);
  }

  /** How many are in each state. */
  counts(): Readonly<Record<NodeView["state"], number>> {
    const counts = { live: 0, suspect: 0, gone: 0, drained: 0 };
    for (const { state } of this.#shown) counts[state]++;
    return counts;
  }

  /** The nodes that are there, or were until a moment ago. */
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
      // one that has answered need not be pinged, too
      node.stats === undefined ? asker.ping(endpoint, limit) : undefined,
    ]);
    node.asked = false;
    if (!node.recorded) return; // removed meanwhile
    if (told?.type === "stats") {
      node.ping = echo?.type === "pong" ? echo.ms : this.#clock.monotonic() - sent;
      node.ahead = told.stats.now + (this.#clock.monotonic() - sent) / 2 - this.#clock.now();
      this.#counted(node, told.stats);
    } else if (echo?.type === "pong") {
      [node.ping, node.load] = [echo.ms, echo.load];
      node.pings = only ? node.pings - 1 : PINGS;
    } else if (this.#clock.monotonic() - this.#lost < RECONNECT_GRACE) return;
    else if (told?.type === "bounce" || echo?.type === "bounce") {
      // after silence, as over a link that carried nothing, it may be on its way that the node has signed off
      if (node.silences > 0) return void (node.silences = 0);
      // as the nodes see it; they say so if they know that it has not signed off
      return this.#become(node, node.without === "vanish" && node.state !== "gone" ? "drained" : "gone");
    } else {
      // one that is gone does not become so again later, when another has taken its place
      if (++node.silences >= SILENCES && node.state !== "gone") this.#become(node, "suspect");
      return;
    }
    node.silences = 0;
    this.#become(node, "live");
  }

  #counted(node: Watched, stats: NodeStats): void {
    // what one that was gone has done meanwhile has no time
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
   * The version and metadata of a node that has begun since this watch did, where no other of its service has them: it
   * was deployed anew. Empty: it is the first of its service, or as another one.
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

/** Pings at once: a cluster of more nodes is asked in turns. */
const MAX_CONCURRENT_PINGS = 256;
/** Time after a lost connection in which no answer shows nothing, in ms: nodes connect again, too. */
const RECONNECT_GRACE = 3_000;
/** Questions without an answer until a node is suspect. */
const SILENCES = 2;
/** Earlier values that are named. */
const NAMED = 3;
/** Pings of a node that did not answer what it has counted. */
const PINGS = 30;
/** How long a node is shown that has gone, and remembered for alarms, in ms. */
const SHOWN = 60_000;
const REMEMBERED = 15 * 60_000;
/** Kinds of alarms that nobody else can see. */
const OF_NODES: ReadonlySet<string> = new Set([
  "no-node",
  "breaker-open",
  "subscription-stopped",
  "subscription-lagging",
  "message-expiring",
  "handler-failing",
  "handler-hanging",
  "node-overloaded",
  "node-gone",
  "run-stuck",
  "schema-mismatch",
  "entity-unreadable",
  "store-full",
]);

/** Events in the life of a node; `deployed`: it is the first of its service with another version or other metadata. */
export type NodeEvent = "joined" | "deployed" | "answers" | "suspect" | "gone" | "drained";

/** Version and metadata by which releases differ; the host and the address do not belong to a release. */
function tellingOf({ version, metadata: { host: _, address: __, ...metadata } }: NodeInfo): Record<string, string> {
  return { ...metadata, Catga: version };
}

interface ContractHandlers {
  readonly now: string[];
  readonly last: string[];
  /** When the last of those that are away went, and whether all of them have signed off. */
  since: number;
  signedOff: boolean;
}

function loadOf({ load: { inFlight, queued } }: NodeInfo): readonly [number, number] {
  return [inFlight, queued];
}

function isThere({ state }: Pick<Watched, "state">): boolean {
  return state === "live" || state === "suspect";
}

/** The label of a node, safe to show. */
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
    // so that it is not sent again for nothing
    memory: stats && Math.round(stats.process.rss / 1_000_000) * 1_000_000,
    cpu: cpu === undefined ? undefined : Math.round(cpu * 100) / 100,
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
