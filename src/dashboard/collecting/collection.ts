/**
 * A collection of data for the page: follows the buckets of nodes and locks, reads the other parts of the cluster
 * again and again, each independently (`repeated_parts.ts`), and sends the results to the browsers.
 */
import { Administration } from "../../log/administration/administration.ts";
import { nextOf, pendingSchedules } from "../../log/publishing/schedule_list.ts";
import type { BucketKind, Change } from "../../ports/key_value_store.ts";
import type { ContractRates } from "./contract_rates.ts";
import { EventTail } from "./event_tail.ts";
import { LockWatch } from "./lock_watch.ts";
import type { AlarmBoard } from "./alarm_board.ts";
import { labelOf, NodeBook } from "./node_book.ts";
import { ParkedViews } from "./parked_views.ts";
import { RepeatedParts } from "./repeated_parts.ts";
import { foundRuns, retriedRuns } from "./run_views.ts";
import { shownId, shownText } from "../shown.ts";
import type { ScheduleView } from "../view.ts";
import type { DashboardSource, SourceAsker } from "../dashboard_source.ts";
import type { Streams } from "../serving/streams.ts";
import type { SubscriptionRates } from "./subscription_rates.ts";
import { Traffic } from "./traffic.ts";

/** The parts of a cluster that a tool without a page reads. */
export interface CollectedParts {
  /** Names of the parts to read. A part is not read again after it has failed for lack of a permission. */
  readonly parts: ReadonlySet<string>;
  /** Asks the nodes for statistics, and pings them. */
  readonly asker: SourceAsker;
}

/** State that is kept while no browser is connected. */
export interface CollectorState {
  readonly source: DashboardSource;
  readonly streams: Pick<Streams, "send" | "sendPoints">;
  readonly only: CollectedParts | undefined;
  readonly subscriptions: SubscriptionRates;
  readonly contracts: ContractRates;
  readonly alarms: AlarmBoard;
}

/** Collects the data for the page while at least one browser is connected. */
export class Collection {
  readonly #kept: CollectorState;
  readonly #end = new AbortController();
  readonly #parts: RepeatedParts;
  readonly #nodes: NodeBook;
  readonly #locks = new LockWatch();
  readonly #administration: Administration;
  readonly #parked: ParkedViews;
  readonly #tail: EventTail;
  readonly #traffic = new Traffic();
  /** Resolves with true when the records of all nodes were read; with false if they were not within some seconds. */
  readonly #nodesRead = Promise.withResolvers<boolean>();

  constructor(kept: CollectorState) {
    this.#kept = kept;
    const { source, streams, only, alarms } = kept;
    const { clock } = source.transport;
    this.#parts = new RepeatedParts(
      clock,
      this.#end.signal,
      only?.parts,
      (problems) => streams.send("problems", problems),
    );
    this.#nodes = new NodeBook(source.transport.clock, (stats, before) => {
      kept.contracts.take(stats, before);
      this.#traffic.take(stats, before);
    }, (what, info, more) => {
      const about = more === undefined ? labelOf(info) : `${labelOf(info)}: ${more}`;
      alarms.note(source.transport.clock.now(), what, about);
    });
    this.#tail = new EventTail(source.namespace, source.showSecrets);
    const { namespace, transport } = source;
    const asker = only?.asker ?? source.asker();
    const administration = this.#administration = new Administration({
      ...{ namespace, clock: transport.clock, network: transport },
      stream: () => source.stream("log"),
      entities: () => source.stream("entities"),
      kept: () => source.stream("subscriptions"),
      nodes: () => this.#nodes.present,
      ask: (endpoint) => this.#nodes.meet(endpoint, asker, this.#patience),
    });
    this.#parked = new ParkedViews(administration, source.showSecrets);
    const locks = this.#locks;
    this.#follow(
      "nodes",
      (change) => this.#nodes.take(change),
      () => this.#sendNodes(),
      () => this.#nodesRead.resolve(true),
    );
    const patience = clock.after(NODES_PATIENCE, () => this.#nodesRead.resolve(false), { background: true });
    this.#end.signal.addEventListener("abort", () => patience.cancel());
    this.#follow(
      "locks",
      (change) => locks.take(change),
      () => streams.send("locks", locks.view(ROWS, (node) => this.#nodes.label(node))),
    );
    const events = only === undefined ? this.#tail.listen(source.events) : undefined;
    const unlisten = source.transport.onStatus(() => this.#connection());
    this.#connection();
    this.#end.signal.addEventListener("abort", () => {
      unlisten();
      asker[Symbol.dispose]();
      events?.close();
    });
    this.#parts.repeat("pings", SECOND, async () => {
      if (source.transport.status.state === "connected") await this.#nodes.ask(asker, this.#patience);
      else this.#nodes.lost();
      this.#sendNodes();
      this.#sendCounts();
      this.#sendAlarms();
    });
    this.#parts.repeat("streams", SECOND, async () => {
      const server = alarms.server = await source.server();
      alarms.elections(source.transport.clock.now(), server);
      streams.send("server", server);
      this.#sendAlarms();
    });
    this.#parts.repeat("subscriptions", 2 * SECOND, () => this.#subscriptions());
    this.#parts.repeat("runs", 2 * SECOND, async () => {
      alarms.runs = await foundRuns(source.runs({ status: "stuck" }), ROWS, source.showSecrets);
      streams.send("runs", alarms.runs);
      alarms.retriedRuns = await retriedRuns(source.runs({ status: "retrying" }), ROWS);
    });
    this.#parts.repeat("schedules", 5 * SECOND, () => this.#schedules());
    this.#parts.repeat("events", SECOND, async () => {
      this.#tail.tick();
      const stream = await this.#kept.source.stream("log");
      if (stream !== undefined) await this.#tail.read(stream);
      streams.send("events", this.#tail.view);
    });
  }

  stop(): void {
    this.#end.abort();
  }

  /** Time for which a node's answer is awaited, in ms: the node may be as far from NATS as this tool. */
  get #patience(): number {
    return PATIENCE + 2 * (this.#kept.alarms.server?.rtt ?? 0);
  }

  /** Reports, as a problem of the page, that there is no connection to NATS, for as long as that is so. */
  #connection(): void {
    const { state } = this.#kept.source.transport.status;
    const connected = state === "connected";
    if (!connected) this.#nodes.lost();
    this.#parts.setProblem("NATS", connected ? undefined : `${state}: what is shown is from before`);
    this.#kept.alarms.connected(this.#kept.source.transport.clock.now(), connected);
    this.#sendAlarms();
  }

  #sendAlarms(): void {
    const { alarms, contracts } = this.#kept;
    alarms.contracts(this.#nodes.handlers, contracts.observed);
    alarms.nodes = this.#nodes.observed;
    alarms.others = this.#nodes.alarms;
    this.#kept.streams.send("alarms", alarms.view(this.#kept.source.transport.clock.now()));
    this.#kept.streams.send("timeline", alarms.timeline);
  }

  #sendNodes(): void {
    this.#kept.streams.send("nodes", {
      ...this.#nodes.view(ROWS),
      counts: this.#nodes.counts(),
      cycles: this.#nodes.cycles,
    });
  }

  #sendCounts(): void {
    const { contracts } = this.#kept;
    const circles = this.#nodes.circles;
    const present = new Set(circles.map(({ endpoint }) => endpoint));
    contracts.keep(present);
    this.#traffic.keep(present);
    this.#kept.streams.send("traffic", this.#traffic.view(circles));
    const { handlers } = this.#nodes;
    this.#kept.streams.send("contracts", contracts.view(ROWS, (name) => handlers.get(name)?.now ?? []));
    const points = contracts.tick();
    if (points !== undefined) this.#kept.streams.sendPoints(points);
  }

  async #subscriptions(): Promise<void> {
    const { clock } = this.#kept.source.transport;
    // errors are ignored here, because the code that reads the log reports them
    const log = await this.#kept.source.stream("log").catch(() => undefined);
    this.#nodes.serverAhead = log && log.serverTime - clock.now();
    const stored = await this.#administration.stored();
    // before the nodes are known, each subscription would seem to have no program
    const isKnown = await this.#nodesRead.promise || this.#nodes.present.length > 0;
    const found = await this.#administration.infosOf(stored);
    const infos = isKnown ? found : found.map((info) => ({ ...info, abandoned: false }));
    const now = clock.monotonic();
    const { limits } = this.#nodes;
    const views = infos.slice(0, ROWS).map((info) =>
      this.#kept.subscriptions.view(info, now, {
        label: (node) => this.#nodes.label(node),
        limits: limits.get(`${info.service}/${info.name}`),
      })
    );
    this.#kept.streams.send("subscriptions", { shown: views, total: infos.length });
    const groups = await this.#parked.groups(stored, ROWS);
    this.#kept.alarms.subscriptions(clock.now(), infos, groups.shown);
    this.#kept.streams.send("groups", groups);
    const { letters, retries } = await this.#parked.of(stored, ROWS);
    this.#kept.streams.send("letters", letters);
    this.#kept.streams.send("retries", retries);
    this.#kept.alarms.retries = retries.shown;
    this.#sendAlarms();
  }

  async #schedules(): Promise<void> {
    const stream = await this.#kept.source.stream("log");
    const all: ScheduleView[] = [];
    if (stream !== undefined) {
      const now = this.#kept.source.transport.clock.now();
      for await (const pending of pendingSchedules(this.#kept.source.namespace, stream)) {
        if (this.#end.signal.aborted) return;
        if (all.length >= MAX_SCHEDULES) break;
        const { contract, id, when, zone, since, paused } = pending;
        const text = { contract: shownText(contract), id: shownId(id), key: id, when: shownText(when), since };
        const next = nextOf(pending, now);
        const own = { ...text, next, zone: zone === undefined ? undefined : shownText(zone) };
        all.push(
          paused === undefined ? own : { ...own, paused: { ...paused, reason: shownText(paused.reason ?? "", 400) } },
        );
      }
    }
    // schedules whose next time is unknown come first
    const shown = all.sort((a, b) => (a.next ?? 0) - (b.next ?? 0)).slice(0, ROWS);
    this.#kept.streams.send("schedules", { shown, total: all.length });
  }

  /**
   * Follows the changes of a bucket once it exists. `take`: called with each change; `send`: called after changes, at
   * most ten times a second.
   */
  #follow(kind: BucketKind, take: (change: Change) => void, send: () => void, wasRead: () => void = () => {}): void {
    const { signal } = this.#end;
    const { clock } = this.#kept.source.transport;
    let waiting = false;
    const soon = () => {
      if (waiting || signal.aborted) return;
      waiting = true;
      clock.after(SECOND / 10, () => {
        waiting = false;
        if (!signal.aborted) send();
      }, { background: true });
    };
    let follows = false;
    this.#parts.repeat(kind, SECOND, async () => {
      if (follows) return;
      const bucket = await this.#kept.source.bucket(kind);
      if (bucket === undefined) {
        wasRead();
        return send();
      }
      follows = true;
      try {
        await bucket.watch("", (change) => {
          take(change);
          soon();
        }, { signal });
      } catch (error) {
        follows = false;
        throw error;
      }
      wasRead();
      send();
    });
  }
}

const SECOND = 1_000; // ms
/** Time for which the records of the nodes are awaited before subscriptions are shown without them, in ms. */
const NODES_PATIENCE = 5_000;
/** Time for which a node's answer is awaited, in ms, over a link without delay. */
const PATIENCE = 900;
/** Maximum number of schedules that are read and sorted. */
const MAX_SCHEDULES = 10_000;
/** Maximum number of rows in one table. */
export const ROWS = 200;
