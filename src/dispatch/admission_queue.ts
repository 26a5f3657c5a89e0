/**
 * Lets so many run at once, and the others wait their turn, first come first served. One that by the present pace could
 * not start before its deadline is turned away at once: it would be run for nobody, and hold up those behind it.
 */
import type { Clock } from "../ports/clock.ts";
import { Deadlined } from "./deadline_wheel.ts";
import type { CatgaError } from "../error.ts";
import type { TurnBudget } from "./turn_budget.ts";

/**
 * Why one that waited has no turn: its time is over or it was given up, the app stops, it would come too late, or only when
 * those who wait for it have ended.
 */
export type Dropped = "LATE" | "DRAINING" | "OVERLOADED" | "DEADLOCK";

/** Somebody who wants to run. It can be given up while it waits, and then has no turn. */
export abstract class QueueEntry extends Deadlined {
  /** @internal The gate that it waits at. */
  gate: AdmissionQueue | undefined = undefined;
  /** @internal The one behind it. */
  gateNext: QueueEntry | undefined = undefined;
  /** @internal The one before it. */
  gatePrevious: QueueEntry | undefined = undefined;

  /** Its turn. {@link AdmissionQueue.leave} is to be called at its end. Must not throw. */
  abstract start(): void;

  /** It has waited, and will not have a turn. Must not throw. */
  abstract drop(why: Dropped): void;

  /** It gives its turn up; nothing happens when it does not wait. */
  quit(why: Dropped): void {
    if (this.gate?.forget(this)) this.drop(why);
  }

  override expire(): void {
    this.quit("LATE");
  }

  override abort({ code }: CatgaError): void {
    this.quit(code === "CLOSED" ? "DRAINING" : "LATE");
  }
}

/** Options of a {@link AdmissionQueue}. */
export interface AdmissionQueueOptions {
  /** How many run at once. */
  readonly limit: number;
  /** How many may wait; 65,536. */
  readonly queue?: number;
  /** Gives no more turns than there is time for; all at once. */
  readonly slice?: TurnBudget;
}

/** A gate. */
export class AdmissionQueue {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #room: number;
  readonly #slice: TurnBudget | undefined;
  #running = 0;
  #waiting = 0;
  #first: QueueEntry | undefined;
  #last: QueueEntry | undefined;
  /** Turns are being given: one that ends within its turn does not begin another round. */
  #giving = false;
  /** It goes on in the next turn of the event loop. */
  #resumes = false;
  /** Those that left, in tenths of a second: a ring of ten, and the tenth that is being counted. */
  readonly #left: number[] = new Array(TENTHS).fill(0);
  #tenth = 0;
  /** When somebody left last, by the monotonic clock. */
  #leftAt = 0;
  /** When those that wait were last looked through, by the monotonic clock. */
  #weededAt = -Infinity;
  /** Since when somebody has been waiting; -1 while nobody is. */
  #busySince = -1;

  constructor(clock: Clock, { limit, queue = 65_536, slice }: AdmissionQueueOptions) {
    this.#clock = clock;
    this.#limit = limit;
    this.#room = queue;
    this.#slice = slice;
  }

  /** How many run. */
  get running(): number {
    return this.#running;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether as many run as may. */
  get full(): boolean {
    return this.#running >= this.#limit;
  }

  /** Whether one that came now would start at once. */
  get open(): boolean {
    return this.#running < this.#limit && this.#waiting === 0 && this.#slice?.over !== true;
  }

  /** One starts that found the gate {@link AdmissionQueue.open}, or that comes back from where it had stepped aside. */
  pass(): void {
    this.#running++;
  }

  /** Lets it start, now or when its turn comes. `false`: there is no room, or no time. */
  enter(ticket: QueueEntry): boolean {
    if (this.open) {
      this.#running++;
      ticket.start();
      return true;
    }
    const now = this.#clock.monotonic();
    const each = this.#each(now);
    this.#weed(now, each);
    if (this.#waiting >= this.#room || now + (this.#waiting + 1) * each > ticket.due) return false;
    if (this.#busySince < 0) this.#busySince = now;
    this.#append(ticket);
    if (this.#slice?.over) this.#resume(this.#slice);
    return true;
  }

  /** Takes one that waits out of the queue; `false` when it does not wait here. */
  forget(ticket: QueueEntry): boolean {
    if (ticket.gate !== this) return false;
    const { gateNext: next, gatePrevious: previous } = ticket;
    if (next === undefined) this.#last = previous;
    else next.gatePrevious = previous;
    if (previous === undefined) this.#first = next;
    else previous.gateNext = next;
    ticket.gate = ticket.gateNext = ticket.gatePrevious = undefined;
    if (--this.#waiting === 0) this.#busySince = -1;
    return true;
  }

  /** Those that wait, as they are now. */
  queue(): QueueEntry[] {
    const all: QueueEntry[] = [];
    for (let ticket = this.#first; ticket !== undefined; ticket = ticket.gateNext) all.push(ticket);
    return all;
  }

  /** One has ended, `now` by the monotonic clock. */
  leave(now: number = this.#clock.monotonic()): void {
    this.#advance(now);
    this.#left[this.#tenth % TENTHS]++;
    this.#leftAt = now;
    this.stepAside();
  }

  /** One that runs has to wait for something else, or does not run after all: its place is free, and nobody has ended. */
  stepAside(): void {
    this.#running--;
    this.#give();
  }

  #give(): void {
    if (this.#giving) return;
    this.#giving = true;
    while (this.#running < this.#limit && this.#first !== undefined) {
      if (this.#slice?.over) {
        this.#resume(this.#slice);
        break;
      }
      const ticket = this.#first;
      this.forget(ticket);
      if (ticket.due <= this.#clock.monotonic()) {
        ticket.drop("LATE");
      } else {
        this.#running++;
        ticket.start();
      }
    }
    this.#giving = false;
  }

  #resume(slice: TurnBudget): void {
    if (this.#resumes) return;
    this.#resumes = true;
    slice.then(() => {
      this.#resumes = false;
      this.#give();
    });
  }

  #append(ticket: QueueEntry): void {
    ticket.gate = this;
    ticket.gatePrevious = this.#last;
    if (this.#last === undefined) this.#first = ticket;
    else this.#last.gateNext = ticket;
    this.#last = ticket;
    this.#waiting++;
  }

  /** How long each of those that wait makes the next one wait, in ms, by the pace of the last second; 0 before there is one. */
  #each(now: number): number {
    if (this.#busySince < 0 || now - this.#busySince < LEARN) return 0;
    this.#advance(now);
    const left = this.#left.reduce((sum, count) => sum + count, 0);
    // the oldest tenth is counted whole, the newest as far as it has gone
    const counted = now - 100 * (this.#tenth - TENTHS + 1);
    if (left > 0) return Math.min(counted, now - this.#busySince) / left;
    // nobody has left for a while: at best all who run leave as late as this again
    return (now - Math.max(this.#busySince, this.#leftAt)) / this.#limit;
  }

  /** Turns away, every now and then, who was let in before there was a pace to go by, or by a better one. */
  #weed(now: number, each: number): void {
    // without anybody who has left lately the pace is a guess, good enough for those that come only
    if (each === 0 || now - this.#weededAt < LEARN || this.#left.every((count) => count === 0)) return;
    this.#weededAt = now;
    let turn = now;
    for (let ticket = this.#first; ticket !== undefined;) {
      const next: QueueEntry | undefined = ticket.gateNext;
      if (turn + each > ticket.due) ticket.quit("OVERLOADED");
      else turn += each;
      ticket = next;
    }
  }

  /** Empties the tenths that have begun since the last count. */
  #advance(now: number): void {
    const tenth = Math.floor(now / 100);
    if (tenth <= this.#tenth) return; // the time that a slice gives may be a little old
    for (let i = Math.max(this.#tenth + 1, tenth - TENTHS + 1); i <= tenth; i++) this.#left[i % TENTHS] = 0;
    this.#tenth = tenth;
  }
}

const TENTHS = 10;
const LEARN = 100; // ms of waiting before there is a pace, and between two looks at those that wait
