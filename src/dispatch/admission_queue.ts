/**
 * A queue that limits how many entries run at once; further entries wait, first in, first out. An entry that, at the
 * pace at which entries have ended lately, could not start before its deadline is refused at once: its result would
 * come too late, and it would delay the entries after it. Time for which this process was paused does not count towards
 * the pace: entries that are to start soon after the pause would be refused. Requests of other nodes wait
 * in one queue (`cluster/wire/inbound_requests.ts`, which refuses them with `OVERLOADED`); messages of a handler with a
 * `concurrency` wait in a queue of its own (`concurrency_limit.ts`).
 * @decides a request that would start too late is refused with `OVERLOADED`
 */
import type { Clock } from "../ports/clock.ts";
import { RunningTime } from "../ports/standstill.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import type { CatgaError } from "../error.ts";
import type { TurnBudget } from "./turn_budget.ts";

/**
 * Reason why an entry left its queue without starting. `LATE`: its deadline passed, or it was aborted; `DRAINING`: the
 * node stops; `OVERLOADED`: it would start too late; `DEADLOCK`: the runs that could make room wait for the entry
 * itself.
 */
export type Dropped = "LATE" | "DRAINING" | "OVERLOADED" | "DEADLOCK";

/** A message that wants to run, and may wait in a queue. It can be aborted while it waits. */
export abstract class QueueEntry extends Deadlined {
  /**
   * True: the entry waits until its deadline, whatever the pace, because nothing is gained if it is refused at once: no
   * other node could run it.
   */
  get isPatient(): boolean {
    return false;
  }

  /** @internal The queue in which the entry waits; `undefined`: it does not wait. */
  queue: AdmissionQueue | undefined = undefined;
  /** @internal The next entry in the queue. */
  queueNext: QueueEntry | undefined = undefined;
  /** @internal The previous entry in the queue. */
  queuePrevious: QueueEntry | undefined = undefined;

  /**
   * Starts the run of the entry; called by the queue. When the run has ended, {@link AdmissionQueue.leave} is called.
   * Must not throw.
   */
  abstract start(): void;

  /**
   * Ends the entry without a run, because it left the queue for the reason `why`; called by the queue. Must not throw.
   */
  abstract drop(why: Dropped): void;

  /** Takes the entry out of its queue and drops it; does nothing if the entry does not wait in a queue. */
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

/** The state of a queue whose places are all taken: entries that wait, and since when. */
export interface Backlog {
  readonly count: number;
  readonly since: number;
  readonly endedAt: number;
}

/** Options of an {@link AdmissionQueue}, which lets a limited number of entries run at once. */
interface AdmissionQueueOptions {
  /** Maximum number of entries that run at once. */
  readonly limit: number;
  /** Maximum number of entries that wait. Default: 65,536. */
  readonly capacity?: number;
  /**
   * A limit of time in each turn of the event loop: when the time is used up, no entry starts until the next turn.
   * Without a budget, entries start as soon as there is room.
   */
  readonly budget?: TurnBudget;
}

/** A queue of entries that run, and entries that wait. */
export class AdmissionQueue {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #capacity: number;
  readonly #budget: TurnBudget | undefined;
  /** Time without the pauses of this process, in which all times below are, if they do not say otherwise. */
  readonly #time: RunningTime;
  #running = 0;
  #waiting = 0;
  #first: QueueEntry | undefined;
  #last: QueueEntry | undefined;
  /**
   * True while waiting entries are being started. An entry whose run ends within its `start` must not begin a second
   * loop of starts.
   */
  #starting = false;
  /** True if a callback for the next turn of the event loop is set, which starts further entries. */
  #resumes = false;
  /** Ends of entries in the last second. */
  readonly #recent = new EndCounts(100);
  /** Ends of entries in the last ten seconds, for runs that take longer than a fraction of a second. */
  readonly #past = new EndCounts(1_000);
  /** Time at which an entry last ended. */
  #endedAt = 0;
  /** Time at which waiting entries that would start too late were last dropped. */
  #checkedAt = -Infinity;
  /** Time since which at least one entry has been waiting; -1: none waits. */
  #busySince = -1;
  /** Number of entries that have ended since then. */
  #endedSince = 0;
  /** Time since which every new entry has found all places taken; -1: there is room. */
  #fullSince = -1;

  constructor(clock: Clock, { limit, capacity = 65_536, budget }: AdmissionQueueOptions) {
    this.#clock = clock;
    this.#limit = limit;
    this.#capacity = capacity;
    this.#budget = budget;
    this.#time = budget?.time ?? new RunningTime(clock);
  }

  /** Number of entries that run. */
  get running(): number {
    return this.#running;
  }

  /** Number of entries that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * State of the queue since all its places were taken; `undefined`: a place is free. `count`: number of entries that
   * wait; `since`: time since which each new entry has found all places taken; `endedAt`: time at which an entry last
   * ended; both by the monotonic clock, and later by the pauses of this process since then.
   */
  get backlog(): Backlog | undefined {
    if (this.#fullSince < 0) return undefined;
    const now = this.#clock.monotonic();
    const paused = now - this.#time.at(now);
    return { count: this.#waiting, since: paused + this.#fullSince, endedAt: paused + this.#endedAt };
  }

  /** True if the maximum number of entries run. */
  get full(): boolean {
    return this.#running >= this.#limit;
  }

  /** True if a new entry would start at once. */
  get open(): boolean {
    return this.#running < this.#limit && this.#waiting === 0 && this.#budget?.over !== true;
  }

  /**
   * Takes a place for a run that has no entry in this queue, even if all places are taken. For three cases: the queue
   * is {@link AdmissionQueue.open}; the run goes on after {@link AdmissionQueue.stepAside}; or the run is allowed to
   * exceed the limit.
   */
  occupy(): void {
    this.#running++;
  }

  /**
   * Starts an entry, at once or as soon as a place is free. Returns false, without queueing the entry, if too many
   * entries wait, or if the entry, which is not {@link QueueEntry.isPatient}, would start after its deadline.
   */
  enter(entry: QueueEntry): boolean {
    if (this.open) {
      this.#running++;
      entry.start();
      return true;
    }
    const now = this.#clock.monotonic();
    const time = this.#time.at(now);
    if (this.full && this.#fullSince < 0) this.#fullSince = time;
    const each = this.#each(time);
    this.#dropLate(now, time, each);
    if (this.#waiting >= this.#capacity) return false;
    if (!entry.isPatient && now + (this.#waiting + 1) * each > entry.due) return false;
    if (this.#busySince < 0) {
      this.#busySince = time;
      this.#endedSince = 0;
      this.#time.hold(now);
    }
    this.#append(entry);
    if (this.#budget?.over) this.#resume(this.#budget);
    return true;
  }

  /**
   * Takes a waiting entry out of the queue without calling its `drop`; returns false if the entry does not wait in this
   * queue.
   */
  remove(entry: QueueEntry): boolean {
    if (entry.queue !== this) return false;
    const { queueNext: next, queuePrevious: previous } = entry;
    if (next === undefined) this.#last = previous;
    else next.queuePrevious = previous;
    if (previous === undefined) this.#first = next;
    else previous.queueNext = next;
    entry.queue = entry.queueNext = entry.queuePrevious = undefined;
    if (--this.#waiting === 0) {
      this.#busySince = -1;
      this.#time.release();
    }
    return true;
  }

  /** Returns a copy of the list of waiting entries, in order. */
  entries(): QueueEntry[] {
    const all: QueueEntry[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.queueNext) all.push(entry);
    return all;
  }

  /**
   * Frees the place of a running entry that has ended: the next waiting entry starts. `now`: the time by the monotonic
   * clock.
   */
  leave(now: number = this.#clock.monotonic()): void {
    const time = this.#time.at(now);
    this.#recent.add(time);
    this.#past.add(time);
    this.#endedAt = time;
    this.#endedSince++;
    this.stepAside();
  }

  /**
   * Frees the place of a running entry that has not ended: the next waiting entry starts. Call it when the run of the
   * entry waits for another run, or when the entry will not run although it has a place.
   */
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

  /**
   * Returns the expected time between two starts, in ms, at the present pace; 0 while the pace is unknown. Runs in
   * progress count as ended: when many runs begin at once, the first of them to end would otherwise look like a pace of
   * one run in all the time since they began. Once more runs have ended than are in progress, these count half, because
   * on average they are half done, and half as much as the ends of the last ten seconds at most, because they may hang.
   */
  #each(time: number): number {
    if (this.#busySince < 0 || time - this.#busySince < LEARN) return 0;
    // if no run has ended lately: the best guess is that each run in progress will need as much time as has passed
    // since the last end of a run
    if (!this.#endsLately(time)) return (time - Math.max(this.#busySince, this.#endedAt)) / this.#limit;
    const inProgress = Math.max(1, this.#running) - 1;
    const past = this.#past.count(time);
    const pace = ({ since }: EndCounts, count: number) => (this.#endedAt - Math.max(this.#busySince, since)) / count;
    // the longer the time, the less the runs in progress weigh; the last second shows that the pace has become slower
    return Math.max(
      pace(this.#recent, this.#recent.count(time) + inProgress),
      pace(this.#past, past + (this.#endedSince > inProgress ? Math.min(past, inProgress) / 2 : inProgress)),
    );
  }

  /** True if a run has ended in the last second, while an entry waited: earlier ends are no pace of what waits. */
  #endsLately(time: number): boolean {
    return this.#recent.count(time) > 0 && this.#endedAt > this.#busySince;
  }

  /**
   * Drops waiting entries that cannot start in time. When they entered, the pace was unknown or better. `now`: the time
   * by the monotonic clock.
   */
  #dropLate(now: number, time: number, each: number): void {
    // if no run has ended lately, the pace is only a guess: enough to refuse new entries, not to drop waiting entries
    if (each === 0 || time - this.#checkedAt < LEARN || !this.#endsLately(time)) return;
    this.#checkedAt = time;
    let start = now;
    for (let entry = this.#first; entry !== undefined;) {
      const next: QueueEntry | undefined = entry.queueNext;
      if (!entry.isPatient && start + each > entry.due) entry.quit("OVERLOADED");
      else start += each;
      entry = next;
    }
  }
}

/** Counts the ends of runs in the last ten slots of time, as a ring buffer. */
class EndCounts {
  /** Length of a slot, in ms. */
  readonly #length: number;
  readonly #counts: number[] = new Array(SLOTS).fill(0);
  /** Number of the newest slot. */
  #newest = 0;
  #sum = 0;

  constructor(length: number) {
    this.#length = length;
  }

  /** Begin of the oldest slot: the counts cover the whole of it, and the past part of the newest. */
  get since(): number {
    return this.#length * (this.#newest - SLOTS + 1);
  }

  /** Adds an end at `time`. */
  add(time: number): void {
    this.#advance(time);
    this.#counts[this.#newest % SLOTS]++;
    this.#sum++;
  }

  /** Returns the number of ends since {@link EndCounts.since}, which moves on to `time`. */
  count(time: number): number {
    this.#advance(time);
    return this.#sum;
  }

  /** Begins the slots until `time`. */
  #advance(time: number): void {
    const slot = Math.floor(time / this.#length);
    if (slot <= this.#newest) return; // the time from a turn budget may be a little old
    for (let i = Math.max(this.#newest + 1, slot - SLOTS + 1); i <= slot; i++) {
      this.#sum -= this.#counts[i % SLOTS];
      this.#counts[i % SLOTS] = 0;
    }
    this.#newest = slot;
  }
}

const SLOTS = 10;
const LEARN = 100; // ms of waiting before the pace is known, and between two drops of late entries

/**
 * Returns the maximum time that a message may wait for admission, in ms, so that its sender still gets the result.
 * `left`: time that the sender will still wait; `lasts`: maximum time of the handler's run, `undefined`: no limit, so
 * that the message may wait as long as its sender; both in ms.
 */
export function patience(left: number, lasts: number | undefined): number {
  return lasts === undefined ? left : Math.max(0, left - lasts - ANSWERING);
}

/** Time that an answer takes to reach its sender, in ms. */
const ANSWERING = 250;
