/** The two ways of a connection, to the server and from it: in order, and as late as the faults say. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { FaultSource } from "./faults.ts";
import type { MemoryProcess } from "./process.ts";

/** The wire between one process and its server. */
export class Wire {
  readonly process: MemoryProcess;
  readonly #faults: FaultSource;
  readonly #up: Lane;
  readonly #down: Lane;
  #attached = true;
  #epoch = 1;

  constructor(clock: Clock, faults: FaultSource, process: MemoryProcess) {
    this.#faults = faults;
    this.process = process;
    this.#up = new Lane(clock);
    this.#down = new Lane(clock);
  }

  /** Whether the server has this connection. */
  get attached(): boolean {
    return this.#attached;
  }

  /** Grows by one when the connection is made anew. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether the server still has the connection of that epoch. */
  has(epoch: number): boolean {
    return this.#attached && this.#epoch === epoch;
  }

  /** Whether {@link Wire.up} would do it at once: to be asked where a closure for each message would cost. */
  get clearUp(): boolean {
    return this.#attached && this.process.running && this.#up.clear && !this.#faults.late;
  }

  /** Whether {@link Wire.down} would do it at once. */
  get clearDown(): boolean {
    return this.#down.clear && !this.#faults.late;
  }

  /**
   * Takes something to the server: at once when nothing is in its way. `lost` is called within {@link Wire.detach}, or at
   * once while there is no connection; a thing may arrive nevertheless, late.
   */
  up(arrive: () => void, lost: () => void = () => {}): void {
    if (!this.process.running) return this.process.enter(() => this.up(arrive, lost));
    if (!this.#attached) return lost();
    this.#up.put(arrive, lost, this.#faults.lag());
  }

  /** Takes something from the server: at once when nothing is in its way; `lost` as in {@link Wire.up}. */
  down(arrive: () => void, lost: () => void = () => {}): void {
    this.#down.put(arrive, lost, this.#faults.lag());
  }

  /** The process is gone: the server hears of it behind what has left the process. */
  hangUp(noticed: () => void): void {
    this.#up.put(noticed, noticed, this.#faults.lag());
  }

  /** The server has lost the connection, and with it what is on its way. */
  detach(): void {
    this.#attached = false;
    const { random, faults: { delay = 0 } } = this.#faults;
    this.#up.cut((count) => [Math.floor(random() * (count + 1)), Math.round(random() * delay)]);
    this.#down.cut(() => [0, 0]);
  }

  /** The connection is made anew. */
  attach(): void {
    this.#attached = true;
    this.#epoch++;
  }
}

interface Load {
  /** When it arrives, by the monotonic clock. */
  readonly at: number;
  readonly arrive: () => void;
  readonly lost: () => void;
}

/** One way: first in, first out. */
class Lane {
  readonly #clock: Clock;
  #loads: Load[] = [];
  #timer: Timer | undefined;
  #arriving = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether nothing is on its way. */
  get clear(): boolean {
    return this.#loads.length === 0 && !this.#arriving;
  }

  put(arrive: () => void, lost: () => void, lag: number): void {
    if (lag === 0 && this.clear) return arrive();
    const at = Math.max(this.#clock.monotonic() + lag, this.#loads.at(-1)?.at ?? 0);
    this.#loads.push({ at, arrive, lost });
    if (this.#timer === undefined && !this.#arriving) this.#arm();
  }

  /** Loses what is on its way, but for the first ones: how many, and how much later these arrive, whatever comes after. */
  cut(survivors: (count: number) => [count: number, later: number]): void {
    if (this.#loads.length === 0) return;
    const loads = this.#loads;
    this.#loads = [];
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    const [count, later] = survivors(loads.length);
    for (const { at, arrive } of loads.slice(0, count)) this.#clock.after(Math.max(0, at - now) + later, arrive);
    for (const { lost } of loads) lost();
  }

  #arm(): void {
    const wait = Math.max(0, this.#loads[0].at - this.#clock.monotonic());
    this.#timer = this.#clock.after(wait, () => {
      this.#timer = undefined;
      // what is put meanwhile stands behind what arrives
      this.#arriving = true;
      while (this.#loads.length > 0 && this.#loads[0].at <= this.#clock.monotonic()) this.#loads.shift()!.arrive();
      this.#arriving = false;
      if (this.#loads.length > 0) this.#arm();
    });
  }
}
