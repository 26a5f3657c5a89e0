/**
 * Watches the alarms of a cluster, for tools without a page. Their data are collected as for the dashboard's page, from
 * the construction of this object on.
 */
import type { AlarmView, Problem, ServerView, Topic, Topics } from "../view.ts";
import type { DashboardSource, SourceAsker } from "../dashboard_source.ts";
import { Collector } from "./collector.ts";
import type { Timer } from "../../ports/clock.ts";

/** Watches the alarms of a cluster until it is disposed of. */
export class AlarmWatch implements Disposable {
  /**
   * Resolves when every part of the cluster was read or has failed, and alarms were computed: after three rounds of
   * statistics; at the latest after 20 s.
   */
  readonly looked: Promise<void>;
  /** Parts of the cluster that cannot be read, or were not read in time. */
  problems: readonly Problem[] = [];
  server: ServerView | undefined;
  readonly #collector: Collector;
  readonly #patience: Timer;
  #now: readonly AlarmView[] = [];

  /** `asker` asks the nodes for statistics; it is disposed of together with this watch. */
  constructor(source: DashboardSource, asker: SourceAsker = source.asker()) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.looked = promise;
    const wanted = new Set<Topic>(["nodes", "contracts", "subscriptions", "server"]);
    let rounds = 0;
    this.#collector = new Collector(source, {
      send: <T extends Topic>(topic: T, value: Topics[T]) => {
        if (topic === "alarms") this.#now = value as Topics["alarms"];
        if (topic === "problems") this.problems = value as Topics["problems"];
        if (topic === "server") this.server = value as ServerView;
        wanted.delete(topic);
        for (const { part } of this.problems) for (const each of wanted) if (part === PARTS[each]) wanted.delete(each);
        if (wanted.size > 0) return;
        // three rounds: a node counts as silent after two questions without an answer, and alarms are computed after
        // each round
        if (topic === "contracts") rounds++;
        if (topic === "alarms" && rounds >= ROUNDS) resolve();
      },
      sendPoints: () => {},
    }, { parts: new Set(["nodes", "pings", "streams", "subscriptions", "runs"]), asker });
    this.#patience = source.transport.clock.after(PATIENCE, () => {
      const late = new Set([...wanted].map((topic) => PARTS[topic] ?? topic));
      const message = `no answer within ${PATIENCE / 1_000} s`;
      this.problems = [...this.problems, ...[...late].map((part) => ({ part, message }))];
      resolve();
    }, { background: true });
    this.#collector.start();
  }

  /** The present alarms of the cluster, the most urgent first. */
  get now(): readonly AlarmView[] {
    return this.#now;
  }

  [Symbol.dispose](): void {
    this.#patience.cancel();
    this.#collector.stop();
  }
}

/** Name of the collector's part that sends a topic, by topic. */
const PARTS: Readonly<Partial<Record<Topic, string>>> = {
  nodes: "pings",
  contracts: "pings",
  subscriptions: "subscriptions",
  server: "streams",
};
/** Number of rounds in which all nodes are asked before `looked` resolves. */
const ROUNDS = 3;
const PATIENCE = 20_000; // ms
