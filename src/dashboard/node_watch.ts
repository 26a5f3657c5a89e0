/**
 * The nodes, and whether they are alive: their records as they change, and an answer of each about once a second. A process that has ended
 * bounces a ping at once; one that is silent is suspect.
 */
import { readRecord } from "../cluster/membership/node_record.ts";
import type { NodeInfo } from "../contract/node_info.ts";
import type { Clock } from "../ports/clock.ts";
import type { Change } from "../ports/key_value_store.ts";
import { shownText } from "./shown.ts";
import type { SourceAsker } from "./source.ts";
import type { Capped, NodeView } from "./view.ts";

interface Watched {
  info: NodeInfo;
  state: NodeView["state"];
  since: number;
  load: readonly [number, number];
  ping: number | undefined;
  /** Pings in a row that were not answered. */
  silences: number;
  asked: boolean;
}

/** All nodes with a record, and for a while those that had one. */
export class NodeWatch {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Watched>();
  #turn = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The nodes that have a record and whose processes have not ended. */
  get present(): NodeInfo[] {
    return [...this.#nodes.values()].filter(({ state }) => state !== "gone").map(({ info }) => info);
  }

  /** A change of the bucket of records. */
  take(change: Change): void {
    const known = this.#nodes.get(change.key);
    if (change.type !== "put") {
      if (known !== undefined) this.#become(known, "gone");
      return;
    }
    const info = readRecord(change.key, change.value);
    if (typeof info === "string") return;
    const load = [info.load.inFlight, info.load.queued] as const;
    if (known?.info.endpoint === info.endpoint) {
      known.info = info;
      known.load = load;
      return;
    }
    const since = this.#clock.now();
    this.#nodes.set(change.key, { info, state: "live", since, load, ping: undefined, silences: 0, asked: false });
  }

  /** Asks the nodes whose turn it is, {@link AT_ONCE} at most, and resolves when all have answered or `limit` ms are over. */
  async ask(asker: Pick<SourceAsker, "ping">, limit: number): Promise<void> {
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

  /** How many are in each state. */
  counts(): Readonly<Record<NodeView["state"], number>> {
    const counts = { live: 0, suspect: 0, gone: 0 };
    for (const { state } of this.#nodes.values()) counts[state]++;
    return counts;
  }

  async #ask(node: Watched, asker: Pick<SourceAsker, "ping">, limit: number): Promise<void> {
    const isGone = () => node.state === "gone"; // also by its record
    if (node.asked || isGone()) return;
    node.asked = true;
    const echo = await asker.ping(node.info.endpoint, limit);
    node.asked = false;
    if (isGone()) return;
    if (echo.type === "pong") {
      [node.ping, node.load, node.silences] = [echo.ms, echo.load, 0];
      this.#become(node, "live");
    } else if (echo.type === "bounce") this.#become(node, "gone");
    else if (++node.silences >= SILENCES) this.#become(node, "suspect");
  }

  #become(node: Watched, state: NodeView["state"]): void {
    if (node.state === state) return;
    node.state = state;
    node.since = this.#clock.now();
  }
}

/** Pings at once: a cluster of more nodes is asked in turns. */
const AT_ONCE = 256;
/** Pings without an answer until a node is suspect. */
const SILENCES = 2;
/** How long a node is shown that has gone, in ms. */
const REMEMBERED = 60_000;

function viewOf({ info, state, since, load: [busy, queued], ping }: Watched): NodeView {
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
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
