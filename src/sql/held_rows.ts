/**
 * Rows that a relay leaves in the outbox for a while, because the log does not take them now: messages of one contract
 * together, starts and signals of one run. They take no room among the rows under way, so that others go on beside
 * them, however many they are.
 */
import { type Clock, doubled, elapsed, type Stamp, stamp } from "../ports/clock.ts";
import { laneOf, type OutboxRow } from "./relay_plan.ts";

/** Rows of a contract, or of a run, that are held together. */
interface HeldContract {
  readonly why: string;
  readonly failures: number;
  /** Time of the last failure, and the pause after it, in ms. */
  readonly at: Stamp;
  readonly pause: number;
  /** Age of the oldest row that was under way at the first failure, in ms, and the time of that failure. */
  readonly oldest: { readonly age: number; readonly at: Stamp };
}

/** The rows that a relay leaves in its outbox for a while. */
export class HeldRows {
  readonly #clock: Clock;
  /** By {@link holdOf}, in the order of their first failures. */
  readonly #holds = new Map<string, HeldContract>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why the first of them could not be stored; `undefined`: none are held. */
  get why(): string | undefined {
    const [first] = this.#holds.values();
    return first?.why;
  }

  /** Age of the oldest row at most, in ms; 0: none are held. */
  get oldest(): number {
    const ages = [...this.#holds.values()].map(({ oldest: { age, at } }) => age + elapsed(this.#clock, at));
    return Math.max(0, ...ages);
  }

  /** Time until some are tried again, in ms; `Infinity`: none are held. */
  get pause(): number {
    return Math.min(...[...this.#holds.values()].map((hold) => this.#left(hold)));
  }

  /** Returns true if a row has failed, or one that it is held with, and none of them has been stored since. */
  has(row: OutboxRow): boolean {
    return this.#nameOf(row) !== undefined;
  }

  /** Returns true if a row is not sent now. */
  isWaiting(row: OutboxRow): boolean {
    const name = this.#nameOf(row);
    return name !== undefined && this.#left(this.#holds.get(name)!) > 0;
  }

  /** Returns what a look at the outbox leaves out. `under`: the rows under way, whose like is not taken beside them. */
  leftOut(under: readonly OutboxRow[]): string[] {
    const names = new Set(under.flatMap((row) => this.#nameOf(row) ?? []));
    for (const [name, hold] of this.#holds) if (this.#left(hold) > 0) names.add(name);
    return [...names];
  }

  /** Takes note that a row could not be stored. `age`: of the oldest row under way; `longest`: pause at most; in ms. */
  fail(row: OutboxRow, why: string, age: number, longest: number): void {
    const run = holdOf(row);
    let name = this.#nameOf(row) ?? run;
    const workflow = wholeOf(row);
    if (name !== workflow && !this.#holds.has(name)) {
      const runs = [...this.#holds.keys()].filter((each) => each.startsWith(`${workflow}\n`));
      // a list of too many would make each look slow
      if (runs.length >= MOST_RUNS) {
        for (const each of runs) this.#holds.delete(each);
        name = workflow;
      }
    }
    const { failures = 0, oldest = { age, at: stamp(this.#clock) } } = this.#holds.get(name) ?? {};
    const pause = doubled(failures, FIRST_PAUSE, longest);
    this.#holds.set(name, { why, failures: failures + 1, at: stamp(this.#clock), pause, oldest });
  }

  /** Takes note that a row was stored, or set aside for ever: those that were held with it go on. */
  pass(row: OutboxRow): void {
    const name = this.#nameOf(row);
    if (name !== undefined) this.#holds.delete(name);
  }

  /**
   * Forgets what is held no more, because a look at the whole outbox, but for what it left out, has found none of it.
   */
  found(rows: readonly OutboxRow[], leftOut: readonly string[]): void {
    const there = new Set([...leftOut, ...rows.flatMap((row) => this.#nameOf(row) ?? [])]);
    for (const name of this.#holds.keys()) if (!there.has(name)) this.#holds.delete(name);
  }

  #nameOf(row: OutboxRow): string | undefined {
    if (this.#holds.size === 0) return undefined;
    return [holdOf(row), wholeOf(row)].find((name) => this.#holds.has(name));
  }

  #left({ at, pause }: HeldContract): number {
    return pause - elapsed(this.#clock, at);
  }
}

/** Returns what a row is held with: its contract; of a start and a signal, its run. */
export function holdOf(row: Pick<OutboxRow, "kind" | "contract" | "key">): string {
  return row.kind === "start" || row.kind === "tell" ? laneOf(row)! : wholeOf(row);
}

/** Returns the name of all rows of a contract or workflow. */
function wholeOf({ kind, contract }: Pick<OutboxRow, "kind" | "contract">): string {
  return `${kind === "start" || kind === "tell" ? "run" : kind}\n${contract}`;
}

/** Maximum number of runs of a workflow that are held one by one. */
const MOST_RUNS = 100;
/** Pause before what could not be stored is tried again, in ms. */
const FIRST_PAUSE = 100;
