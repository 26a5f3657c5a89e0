/**
 * At most so many run at once; further ones wait in a queue, first in, first out. An entry that by the present pace
 * could not start before its deadline is refused at once: it would run for nobody, and hold up the entries behind it.
 * Requests of other nodes wait in one queue (`cluster/wire/inbound_requests.ts`, which refuses them with `OVERLOADED`);
 * those of a handler with a `concurrency` in one of its own (`concurrency_limit.ts`).
 */
import type { Clock } from "../ports/clock.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import type { CatgaError } from "../error.ts";
import type { TurnBudget } from "./turn_budget.ts";

/**
 * Why an entry left its queue without starting: its deadline passed or it was aborted; the node stops; it would start
 * too late; or the runs that could make room for it wait for it themselves.
 */
export type Dropped = "LATE" | "DRAINING" | "OVERLOADED" | "DEADLOCK";

/** Something that wants to run, and may wait for it in a queue. While it waits it can be aborted. */
export abstract class QueueEntry extends Deadlined {
  /** @internal The queue that it waits in. */
  queue: AdmissionQueue | undefined = undefined;
  /** @internal The entry behind it. */
  queueNext: QueueEntry | undefined = undefined;
  /** @internal The entry before it. */
  queuePrevious: QueueEntry | undefined = undefined;

  /** Called when it may run; {@link AdmissionQueue.leave} is to be called at its end. Must not throw. */
  abstract start(): void;

  /** Called when it left the queue without starting. Must not throw. */
  abstract drop(why: Dropped): void;

  /** Takes it out of its queue and drops it; nothing happens when it does not wait. */
  quit(why: Dropped): void {
    if (this.queue?.remove(this)) this.drop(why);
  }

  override expire(): void {
    this.quit("LATE");
  }

  override abort({ code }: CatgaError): void {
    this.quit(code === "CLOSED" ? "DRAINING" : "LATE");
  }
}

/** Entries that find all turns taken; {@link AdmissionQueue.backlog} says what each is. */
export interface Backlog {
  readonly count: number;
  readonly since: number;
  readonly endedAt: number;
}

/** Options of an {@link AdmissionQueue}. */
interface AdmissionQueueOptions {
  /** How many run at once. */
  readonly limit: number;
  /** How many may wait; 65,536. */
  readonly capacity?: number;
  /** While it is used up, nothing starts; without one, whatever may start does at once. */
  readonly budget?: TurnBudget;
}

/** Entries that run, and entries that wait. */
export class AdmissionQueue {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #capacity: number;
  readonly #budget: TurnBudget | undefined;
  #running = 0;
  #waiting = 0;
  #first: QueueEntry | undefined;
  #last: QueueEntry | undefined;
  /** Entries are being started: one that ends within its start must not start others in a loop of its own. */
  #starting = false;
  /** Starting goes on in the next turn of the event loop. */
  #resumes = false;
  /**
   * How many have ended in each of the last ten tenths of a second, in a circle; and the number of the newest tenth.
   */
  readonly #ended: number[] = new Array(TENTHS).fill(0);
  #tenth = 0;
  /** When one ended last, by the monotonic clock. */
  #endedAt = 0;
  /** When the waiting entries were last checked, by the monotonic clock. */
  #checkedAt = -Infinity;
  /** Since when at least one has been waiting; -1 while none is. */
  #busySince = -1;
  /** Since when entries that came have found as many running as may; -1: there is room. */
  #fullSince = -1;

  constructor(clock: Clock, { limit, capacity = 65_536, budget }: AdmissionQueueOptions) {
    this.#clock = clock;
    this.#limit = limit;
    this.#capacity = capacity;
    this.#budget = budget;
  }

  /** How many run. */
  get running(): number {
    return this.#running;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * How many wait, since when those that come have found all turns taken, and when one ended last, both by the
   * monotonic clock; `undefined`: there is room.
   */
  get backlog(): Backlog | undefined {
    return this.#fullSince < 0 ? undefined : { count: this.#waiting, since: this.#fullSince, endedAt: this.#endedAt };
  }

  /** True if as many run as may. */
  get full(): boolean {
    return this.#running >= this.#limit;
  }

  /** True if an entry that came now would start at once. */
  get open(): boolean {
    return this.#running < this.#limit && this.#waiting === 0 && this.#budget?.over !== true;
  }

  /**
   * Counts one more as running, without an entry: the queue is {@link AdmissionQueue.open}, or it had stepped aside, or
   * it needs no room.
   */
  occupy(): void {
    this.#running++;
  }

  /**
   * Starts an entry, at once or when there is room. `false`: the queue is full, or it would start after its deadline.
   */
  enter(entry: QueueEntry): boolean {
    if (this.open) {
      this.#running++;
      entry.start();
      return true;
    }
    const now = this.#clock.monotonic();
    if (this.full && this.#fullSince < 0) this.#fullSince = now;
    const each = this.#each(now);
    this.#dropLate(now, each);
    if (this.#waiting >= this.#capacity || now + (this.#waiting + 1) * each > entry.due) return false;
    if (this.#busySince < 0) this.#busySince = now;
    this.#append(entry);
    if (this.#budget?.over) this.#resume(this.#budget);
    return true;
  }

  /** Takes out an entry that waits, without dropping it; `false` when it does not wait here. */
  remove(entry: QueueEntry): boolean {
    if (entry.queue !== this) return false;
    const { queueNext: next, queuePrevious: previous } = entry;
    if (next === undefined) this.#last = previous;
    else next.queuePrevious = previous;
    if (previous === undefined) this.#first = next;
    else previous.queueNext = next;
    entry.queue = entry.queueNext = entry.queuePrevious = undefined;
    if (--this.#waiting === 0) this.#busySince = -1;
    return true;
  }

  /** The entries that wait now, in order; a copy. */
  entries(): QueueEntry[] {
    const all: QueueEntry[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.queueNext) all.push(entry);
    return all;
  }

  /** One that ran has ended, `now` by the monotonic clock. */
  leave(now: number = this.#clock.monotonic()): void {
    this.#advance(now);
    this.#ended[this.#tenth % TENTHS]++;
    this.#endedAt = now;
    this.stepAside();
  }

  /** One makes room without having ended: it waits for something else, or does not run after all. */
  stepAside(): void {
    this.#running--;
    this.#startNext();
  }

  #startNext(): void {
    if (this.#starting) return;
    this.#starting = true;
    while (this.#running < this.#limit && this.#first !== undefined) {
      if (this.#budget?.over) {
        this.#resume(this.#budget);
        break;
      }
      const entry = this.#first;
      this.remove(entry);
      if (entry.due <= this.#clock.monotonic()) {
        entry.drop("LATE");
      } else {
        this.#running++;
        entry.start();
      }
    }
    if (!this.full) this.#fullSince = -1;
    this.#starting = false;
  }

  #resume(budget: TurnBudget): void {
    if (this.#resumes) return;
    this.#resumes = true;
    budget.nextTurn(() => {
      this.#resumes = false;
      this.#startNext();
    });
  }

  #append(entry: QueueEntry): void {
    entry.queue = this;
    entry.queuePrevious = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.queueNext = entry;
    this.#last = entry;
    this.#waiting++;
  }

  /** The time between two starts, in ms, by the pace of the last second; 0 before there is one. */
  #each(now: number): number {
    if (this.#busySince < 0 || now - this.#busySince < LEARN) return 0;
    this.#advance(now);
    const ended = this.#ended.reduce((sum, count) => sum + count, 0);
    // the oldest tenth is counted whole, the newest as far as it has gone
    const counted = now - 100 * (this.#tenth - TENTHS + 1);
    if (ended > 0) return Math.min(counted, now - this.#busySince) / ended;
    // none has ended in the last second: at best, all that run end after as long again
    return (now - Math.max(this.#busySince, this.#endedAt)) / this.#limit;
  }

  /** Drops the entries that cannot start in time: they entered before there was a pace, or by a better one. */
  #dropLate(now: number, each: number): void {
    // with no end in the last second the pace is a guess: good enough to refuse by, not to drop by
    if (each === 0 || now - this.#checkedAt < LEARN || this.#ended.every((count) => count === 0)) return;
    this.#checkedAt = now;
    let start = now;
    for (let entry = this.#first; entry !== undefined;) {
      const next: QueueEntry | undefined = entry.queueNext;
      if (start + each > entry.due) entry.quit("OVERLOADED");
      else start += each;
      entry = next;
    }
  }

  /** Empties the tenths that have begun since the last count. */
  #advance(now: number): void {
    const tenth = Math.floor(now / 100);
    if (tenth <= this.#tenth) return; // the time that a budget returns may be a little old
    for (let i = Math.max(this.#tenth + 1, tenth - TENTHS + 1); i <= tenth; i++) this.#ended[i % TENTHS] = 0;
    this.#tenth = tenth;
  }
}

const TENTHS = 10;
const LEARN = 100; // ms of waiting before there is a pace, and between two checks of the waiting entries

/** How long a message may wait for its turn, in ms, if its sender waits for `left`, and it `lasts` so long. */
export function patience(left: number, lasts: number | undefined): number {
  return lasts === undefined ? left : Math.max(0, left - lasts - ANSWERING);
}

/** Time for an answer on its way, in ms. */
const ANSWERING = 250;
