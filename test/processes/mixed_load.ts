/**
 * A load of commands, queries, events and broadcasts that writes down what was acknowledged, so that it can be looked
 * up afterwards in what the nodes wrote down when they ran it.
 *
 * @module
 */
import { appendFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import type { Catga, Result, SendOptions, Strategy } from "@catga/catga";
import { Add, type LoadReport, Note, Record, Told } from "./node_messages.ts";

/** Options of {@link MixedLoad}. */
export interface LoadOptions {
  /** The file for acknowledged commands, a line `Record <entry> <node>` each. */
  readonly acknowledged: string;
  /** How nodes are picked; another node than the sender, while there is one. */
  readonly route?: SendOptions["route"];
}

/** A load of some hundred messages a second, from one node. */
export class MixedLoad {
  readonly #app: Catga;
  readonly #options: LoadOptions;
  readonly #run = crypto.randomUUID().slice(0, 8);
  readonly #pending = new Set<Promise<void>>();
  readonly #failures: string[] = [];
  #sent = 0;
  #answered = 0;
  #unknown = 0;
  #slowest = 0;
  #stopped = false;
  #sending: Promise<void> | undefined;

  constructor(app: Catga, options: LoadOptions) {
    this.#app = app;
    this.#options = options;
  }

  /** What has come of it so far. */
  get report(): LoadReport {
    return {
      sent: this.#sent,
      answered: this.#answered,
      unknown: this.#unknown,
      failures: this.#failures,
      slowest: this.#slowest,
    };
  }

  /** Begins to send. */
  start(): void {
    this.#sending ??= this.#send();
  }

  /** Ends it; resolves when everything that was sent has its result. */
  async stop(): Promise<LoadReport> {
    this.#stopped = true;
    await this.#sending;
    await Promise.all(this.#pending);
    return this.report;
  }

  async #send(): Promise<void> {
    const app = this.#app;
    const { acknowledged, route = another } = this.#options;
    for (let i = 0; !this.#stopped; i++) {
      const entry = `${app.self.id}-${this.#run}-${i}`;
      this.#take("Record", app.send(Record, { entry }, { route }), (node) => {
        appendFileSync(acknowledged, `Record ${entry} ${node}\n`);
      });
      this.#take("Add", app.send(Add, { a: i, b: 1 }, { route }), (sum) => {
        if (sum !== i + 1) this.#failures.push(`Add: ${i} + 1 was ${sum}`);
      });
      this.#take("Told", app.publish(Told, { entry }));
      if (i % 50 === 0) {
        const all = app.broadcast(Note, { entry });
        this.#pending.add(all.then((answers) => {
          for (const { node, result } of answers) {
            // a broadcast has one attempt for every node of the view, one that was killed just now, or leaves, as well
            if (!["UNAVAILABLE", "DRAINING"].includes(result.error?.code ?? "")) {
              this.#take(`Note to ${node}`, Promise.resolve(result));
            }
          }
        }));
      }
      await wait(4);
    }
  }

  #take<T>(name: string, result: Promise<Result<T>>, onValue: (value: T) => void = () => {}): void {
    this.#sent++;
    const began = performance.now();
    const taken = result.then((settled) => {
      this.#slowest = Math.max(this.#slowest, performance.now() - began);
      this.#pending.delete(taken);
      if (settled.ok) {
        this.#answered++;
        onValue(settled.value);
      } else if (settled.error.code === "OUTCOME_UNKNOWN") this.#unknown++;
      else this.#failures.push(`${name}: ${settled.error.code}: ${settled.error.message}`);
    });
    this.#pending.add(taken);
  }
}

/** Another node than the sender, in turn, while there is one. */
export const another: Strategy = (candidates, { self }) => {
  const others = candidates.filter(({ id }) => id !== self);
  return others[Math.floor(Math.random() * others.length)] ?? candidates[0];
};
