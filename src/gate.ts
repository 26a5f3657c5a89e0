/**
 * Lets so many run at once, and the others wait their turn, first come first served. One that by the present pace could
 * not start before its deadline is turned away at once: it would be run for nobody, and hold up those behind it.
 */
import type { Clock } from "./clock.ts";

/** Somebody who wants to run. */
export interface Ticket {
  /** The deadline, by the monotonic clock; may be `Infinity`. */
  readonly due: number;
  /** It does not want any more: its turn is passed over. */
  readonly gone: boolean;
  /** Its turn. {@link Gate.leave} is to be called at its end. Must not throw. */
  start(): void;
  /** It will not have a turn: it has gone, or its deadline has passed. Must not throw. */
  drop(): void;
}

/** Options of a {@link Gate}. */
export interface GateOptions {
  /** How many run at once. */
  readonly limit: number;
  /** How many may wait; 65,536. */
  readonly queue?: number;
}

/** A gate. */
export class Gate {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #room: number;
  #running = 0;
  #queue: (Ticket | undefined)[] = [];
  #head = 0;
  #paused = false;
  /** Turns are being given: one that ends within its turn does not begin another round. */
  #giving = false;
  /** Those that left, in tenths of a second: a ring of ten, and the tenth that is being counted. */
  readonly #left: number[] = new Array(TENTHS).fill(0);
  #tenth = 0;
  /** When somebody left last, by the monotonic clock. */
  #leftAt = 0;
  /** Since when somebody has been waiting; -1 while nobody is. */
  #busySince = -1;

  constructor(clock: Clock, { limit, queue = 65_536 }: GateOptions) {
    this.#clock = clock;
    this.#limit = limit;
    this.#room = queue;
  }

  /** How many run. */
  get running(): number {
    return this.#running;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  /** Whether one that came now would start at once. */
  get open(): boolean {
    return this.#running < this.#limit && this.#head === this.#queue.length && !this.#paused;
  }

  /** One starts that found the gate {@link Gate.open}. */
  pass(): void {
    this.#running++;
  }

  /** Lets it start, now or when its turn comes. `false`: there is no room, or no time. */
  enter(ticket: Ticket): boolean {
    if (this.open) {
      this.#running++;
      ticket.start();
      return true;
    }
    const now = this.#clock.monotonic();
    if (this.waiting >= this.#room || now + this.#wait(now) > ticket.due) return false;
    if (this.#busySince < 0) this.#busySince = now;
    this.#queue.push(ticket);
    return true;
  }

  /** One has ended, `now` by the monotonic clock. */
  leave(now: number = this.#clock.monotonic()): void {
    this.#running--;
    this.#advance(now);
    this.#left[this.#tenth % TENTHS]++;
    this.#leftAt = now;
    this.#give();
  }

  /** Gives no turns until {@link Gate.resume}. */
  pause(): void {
    this.#paused = true;
  }

  /** Gives turns again. */
  resume(): void {
    this.#paused = false;
    this.#give();
  }

  #give(): void {
    if (this.#giving) return;
    this.#giving = true;
    while (this.#running < this.#limit && this.#head < this.#queue.length && !this.#paused) {
      const ticket = this.#next();
      if (ticket.gone || ticket.due <= this.#clock.monotonic()) {
        ticket.drop();
      } else {
        this.#running++;
        ticket.start();
      }
    }
    this.#giving = false;
  }

  #next(): Ticket {
    const ticket = this.#queue[this.#head]!;
    this.#queue[this.#head++] = undefined;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      this.#busySince = -1;
    } else if (this.#head >= COMPACT && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return ticket;
  }

  /** How long one that came now would wait, in ms, by the pace of the last second; 0 while there is no pace to go by. */
  #wait(now: number): number {
    if (this.#busySince < 0) return 0;
    const busy = Math.min(1_000, now - this.#busySince);
    if (busy < LEARN) return 0;
    this.#advance(now);
    const left = this.#left.reduce((sum, count) => sum + count, 0);
    if (left > 0) return (this.waiting + 1) * busy / left;
    // nobody has left for a while: at best all who run leave as late as this again
    return (this.waiting + 1) * (now - Math.max(this.#busySince, this.#leftAt)) / this.#limit;
  }

  /** Empties the tenths that have begun since the last count. */
  #advance(now: number): void {
    const tenth = Math.floor(now / 100);
    for (let i = Math.max(this.#tenth + 1, tenth - TENTHS + 1); i <= tenth; i++) this.#left[i % TENTHS] = 0;
    this.#tenth = tenth;
  }
}

const TENTHS = 10;
const LEARN = 100; // ms of waiting before there is a pace
const COMPACT = 1_024;
