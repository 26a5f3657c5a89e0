/**
 * Rows that a relay leaves in the outbox for a while, because the log does not take them now: messages of one contract
 * together, starts and signals of one run. They take no room among the rows under way, so that others go on beside
 * them, however many they are. Of a workflow with many such runs the relay goes through all runs in rounds, a few at a
 * time: each is tried, whatever became of those before it.
 */
import { type Clock, doubled, elapsed, type Stamp, stamp } from "../ports/clock.ts";
import { isCall, laneOf, type OutboxRow } from "./relay_plan.ts";

/** Members of a row by which it is held together with others. */
export type HeldWith = Pick<OutboxRow, "kind" | "contract" | "key">;

/** Why rows are held, and since when. */
interface HoldCause {
  readonly why: string;
  /** Age of the oldest row that was under way at the first failure, in ms, and the time of that failure. */
  readonly oldest: { readonly age: number; readonly at: Stamp };
}

/** Rows of a contract, or of a run, that are held together. */
interface HeldTogether extends HoldCause, HoldPause {
  readonly failures: number;
}

/** Time from which on something waits, and for how long, in ms. */
interface HoldPause {
  readonly at: Stamp;
  readonly pause: number;
}

/** The rounds through the runs of a workflow. */
interface RunRounds extends HoldCause {
  /** Number of the row behind which the first rows of the runs stand that are tried next. */
  after: bigint;
  /** Number of runs that have failed in this round. */
  failed: number;
  /** Number of rounds that have come to the end of the outbox. */
  ended: number;
  /** Pause before runs are tried again. */
  next: HoldPause;
  /** Pause before the next round; meanwhile only new runs are tried. `undefined`: the round is not over. */
  rest: HoldPause | undefined;
  /** The runs that are tried now. */
  tried: { readonly isFull: boolean; hasPassed: boolean } | undefined;
}

/** The rows that a relay leaves in its outbox for a while. */
export class HeldRows {
  readonly #clock: Clock;
  readonly #most: number;
  /** By {@link holdOf}, in the order of their first failures. */
  readonly #holds = new Map<string, HeldTogether>();
  /** By {@link wholeOf}. */
  readonly #rounds = new Map<string, RunRounds>();

  /** `most`: maximum number of runs of a workflow that are held one by one. */
  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** Why the first of them could not be stored; `undefined`: none are held. */
  get why(): string | undefined {
    const [first] = this.#causes();
    return first?.why;
  }

  /** Age of the oldest row at most, in ms; 0: none are held. */
  get oldest(): number {
    return Math.max(0, ...this.#causes().map(({ oldest: { age, at } }) => age + elapsed(this.#clock, at)));
  }

  /** Time until some are tried again, in ms; `Infinity`: none are held. */
  get pause(): number {
    const pauses = [...this.#holds.values(), ...[...this.#rounds.values()].map(({ next }) => next)];
    return Math.min(...pauses.map((each) => this.#left(each)));
  }

  /** Returns true if a row has failed, or one that it is held with, and none of them has been stored since. */
  has(row: OutboxRow): boolean {
    return this.#holds.has(holdOf(row)) || this.#roundsOf(row) !== undefined;
  }

  /** Returns why a row, or one that it is held with, could not be stored; `undefined`: it is not held. */
  whyOf(row: HeldWith): string | undefined {
    return (this.#holds.get(holdOf(row)) ?? this.#roundsOf(row))?.why;
  }

  /** Returns true if a row is not sent now. */
  isWaiting(row: OutboxRow): boolean {
    const rounds = this.#roundsOf(row);
    if (rounds !== undefined) return rounds.tried === undefined;
    const hold = this.#holds.get(holdOf(row));
    return hold !== undefined && this.#left(hold) > 0;
  }

  /** Returns what a look at the outbox leaves out. `under`: the rows under way, whose like is not taken beside them. */
  leftOut(under: readonly OutboxRow[]): string[] {
    const names = new Set([...this.#rounds.keys(), ...under.map(holdOf).filter((name) => this.#holds.has(name))]);
    for (const [name, hold] of this.#holds) if (this.#left(hold) > 0) names.add(name);
    return [...names];
  }

  /**
   * Returns a workflow some runs of which are tried now, and the number of the row behind which they begin;
   * `undefined`: there is none. Call {@link HeldRows.tries} with the rows.
   */
  due(): { readonly workflow: string; readonly after: string } | undefined {
    const due = [...this.#rounds].filter(([, { next }]) => this.#left(next) <= 0);
    const [first] = due.toSorted(([, a], [, b]) => this.#left(a.next) - this.#left(b.next));
    if (first === undefined) return undefined;
    const [name, rounds] = first;
    if (rounds.rest !== undefined && this.#left(rounds.rest) <= 0) {
      Object.assign(rounds, { after: 0n, failed: 0, rest: undefined });
    }
    return { workflow: name.slice(RUN.length), after: `${rounds.after}` };
  }

  /** Takes note of the rows of runs of a workflow that are tried now. `isFull`: there may be more of them. */
  tries(workflow: string, rows: readonly OutboxRow[], isFull: boolean): void {
    const rounds = this.#rounds.get(RUN + workflow)!;
    // rows of a run come in their order: the first one of each says how far the round is
    const firsts = new Map(rows.toReversed().map(({ key, n }) => [key, BigInt(n)]));
    for (const first of firsts.values()) if (first > rounds.after) rounds.after = first;
    rounds.tried = { isFull, hasPassed: false };
  }

  /** Takes note that a row could not be stored. `age`: of the oldest row under way; `longest`: pause at most; in ms. */
  fail(row: OutboxRow, why: string, age: number, longest: number): void {
    const name = holdOf(row);
    const now = stamp(this.#clock);
    const rounds = this.#roundsOf(row);
    if (rounds !== undefined) {
      Object.assign(rounds, { why, failed: rounds.failed + 1 });
      return;
    }
    const known = this.#holds.get(name);
    // of rows that are held together, several may have failed at once
    if (known !== undefined && this.#left(known) > 0) return;
    const { failures = 0, oldest = { age, at: now } } = known ?? {};
    const workflow = wholeOf(row);
    if (known === undefined && name !== workflow) {
      const runs = [...this.#holds].filter(([each]) => each.startsWith(`${workflow}\n`));
      // a list of too many would make each look slow
      if (runs.length >= this.#most) {
        for (const [each] of runs) this.#holds.delete(each);
        this.#rounds.set(workflow, {
          ...{ why, oldest: runs[0][1].oldest, after: 0n, failed: 0, ended: 0, rest: undefined, tried: undefined },
          next: { at: now, pause: FIRST_PAUSE },
        });
        return;
      }
    }
    this.#holds.set(name, {
      why,
      failures: failures + 1,
      at: now,
      pause: doubled(failures, FIRST_PAUSE, longest),
      oldest,
    });
  }

  /** Takes note that a row was stored, or set aside for ever: those that were held with it go on. */
  pass(row: OutboxRow): void {
    this.#holds.delete(holdOf(row));
    const { tried } = this.#roundsOf(row) ?? {};
    if (tried !== undefined) tried.hasPassed = true;
  }

  /** Called when {@link HeldRows.fail} and {@link HeldRows.pass} know all that was tried. `longest`: pause, in ms. */
  settle(longest: number): void {
    const at = stamp(this.#clock);
    for (const [name, rounds] of this.#rounds) {
      const { tried } = rounds;
      if (tried === undefined) continue;
      rounds.tried = undefined;
      rounds.next = { at, pause: tried.isFull && tried.hasPassed ? 0 : BETWEEN };
      if (tried.isFull || rounds.rest !== undefined) continue;
      // the end of the outbox: few are held one by one
      if (rounds.failed <= this.#most / 2) this.#rounds.delete(name);
      else rounds.rest = { at, pause: doubled(rounds.ended++, FIRST_PAUSE, longest) };
    }
  }

  /**
   * Forgets what is held no more, because a look at the whole outbox, but for what it left out, has found none of it.
   */
  found(rows: readonly OutboxRow[], leftOut: readonly string[]): void {
    const there = new Set([...leftOut, ...rows.map(holdOf)]);
    for (const name of this.#holds.keys()) if (!there.has(name)) this.#holds.delete(name);
  }

  #causes(): readonly HoldCause[] {
    return [...this.#holds.values(), ...this.#rounds.values()];
  }

  #roundsOf(row: HeldWith): RunRounds | undefined {
    return this.#rounds.size === 0 ? undefined : this.#rounds.get(wholeOf(row));
  }

  #left({ at, pause }: HoldPause): number {
    return pause - elapsed(this.#clock, at);
  }
}

/** Returns what a row is held with: its contract; of a start and a signal, its run. */
export function holdOf(row: HeldWith): string {
  return isCall(row.kind) ? laneOf(row)! : wholeOf(row);
}

/** Returns the name of all rows of a contract or workflow. */
function wholeOf({ kind, contract }: Pick<OutboxRow, "kind" | "contract">): string {
  return isCall(kind) ? RUN + contract : `${kind}\n${contract}`;
}

/** Beginning of the names of runs. */
const RUN = "run\n";
/** Pause before what could not be stored is tried again, in ms. */
const FIRST_PAUSE = 100;
/** Pause between runs of a round, unless some of them could be stored, in ms. */
const BETWEEN = 250;
