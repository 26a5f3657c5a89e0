/**
 * The alarms of a cluster as they stand, for tools without a page: collected as the page collects them, from its making
 * on.
 */
import type { AlarmView, Problem, ServerView, Topic, Topics } from "./view.ts";
import type { DashboardSource, SourceAsker } from "./dashboard_source.ts";
import { Collector } from "./collector.ts";
import type { Timer } from "../ports/clock.ts";

/** Watches a cluster, until it is disposed of. */
export class AlarmWatch implements Disposable {
  /** Resolves when each part was looked at once, or has failed, and alarms were made of it; after 20 s at most. */
  readonly looked: Promise<void>;
  /** Parts that cannot be read, or were not in time. */
  problems: readonly Problem[] = [];
  server: ServerView | undefined;
  readonly #collector: Collector;
  readonly #patience: Timer;
  #now: readonly AlarmView[] = [];

  /** `asker`: asks the nodes, until it is disposed of with this watch. */
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
        // a node is silent that has not answered twice; alarms are made behind each round of questions
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

  /** The alarms of this moment, the most urgent first. */
  get now(): readonly AlarmView[] {
    return this.#now;
  }

  [Symbol.dispose](): void {
    this.#patience.cancel();
    this.#collector.stop();
  }
}

/** The part of the collector that sends a topic. */
const PARTS: Readonly<Partial<Record<Topic, string>>> = {
  nodes: "pings",
  contracts: "pings",
  subscriptions: "subscriptions",
  server: "streams",
};
/** How often all nodes are asked. */
const ROUNDS = 3;
const PATIENCE = 20_000; // ms
