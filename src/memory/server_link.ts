/**
 * The link between a process and its simulated server: one channel in each direction, which keeps the order, delays
 * messages as the faults say, and loses messages in transit when the connection breaks.
 */
import type { Clock, Timer } from "../ports/clock.ts";
import type { FaultSource } from "./faults.ts";
import type { MemoryProcess } from "./memory_process.ts";

/** The connection of one process to its simulated server. */
export class ServerLink {
  readonly process: MemoryProcess;
  readonly #faults: FaultSource;
  readonly #toServer: Channel;
  readonly #toProcess: Channel;
  #attached = true;
  #epoch = 1;

  constructor(clock: Clock, faults: FaultSource, process: MemoryProcess) {
    this.#faults = faults;
    this.process = process;
    this.#toServer = new Channel(clock);
    this.#toProcess = new Channel(clock);
  }

  /** True while the server has a connection of this process. */
  get attached(): boolean {
    return this.#attached;
  }

  /** Number of the present connection of the process; each reconnect adds 1. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Returns true if the connection with this number still exists. */
  has(epoch: number): boolean {
    return this.#attached && this.#epoch === epoch;
  }

  /**
   * True if {@link ServerLink.toServer} would call `arrive` at once. Callers check this first, to save a closure for
   * each message.
   */
  get serverClear(): boolean {
    return this.#attached && this.process.running && this.#toServer.clear && !this.#faults.late;
  }

  /** True if {@link ServerLink.toProcess} would call back at once. */
  get processClear(): boolean {
    return this.#toProcess.clear && !this.#faults.late;
  }

  /**
   * Sends something to the server: calls `arrive` when it arrives, at once if nothing is in transit. Calls `lost` when
   * {@link ServerLink.detach} breaks the connection before, or at once if there is no connection; even then `arrive`
   * may still be called, late.
   */
  toServer(arrive: () => void, lost: () => void = () => {}): void {
    if (!this.process.running) return this.process.enter(() => this.toServer(arrive, lost));
    if (!this.#attached) return lost();
    this.#toServer.put(arrive, lost, this.#faults.lag());
  }

  /** Sends something to the process; like {@link ServerLink.toServer} in the other direction. */
  toProcess(arrive: () => void, lost: () => void = () => {}): void {
    this.#toProcess.put(arrive, lost, this.#faults.lag());
  }

  /**
   * Ends the link of a process that has died. `noticed` is called when the server notices the death, after everything
   * that the process has sent.
   */
  hangUp(noticed: () => void): void {
    this.#toServer.put(noticed, noticed, this.#faults.lag());
  }

  /** Breaks the connection: everything in transit is lost, but some messages of the process may still arrive. */
  detach(): void {
    this.#attached = false;
    const { random, faults: { delay = 0 } } = this.#faults;
    this.#toServer.cut((count) => [Math.floor(random() * (count + 1)), Math.round(random() * delay)]);
    this.#toProcess.cut(() => [0, 0]);
  }

  /** Makes a new connection between process and server. */
  attach(): void {
    this.#attached = true;
    this.#epoch++;
  }
}

interface Transit {
  /** Time at which the thing that was sent arrives, by the monotonic clock. */
  readonly at: number;
  readonly arrive: () => void;
  readonly lost: () => void;
}

/** One direction of a link, in which things arrive in the order of sending. */
class Channel {
  readonly #clock: Clock;
  #transits: Transit[] = [];
  #timer: Timer | undefined;
  #arriving = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True if nothing is in transit in this direction. */
  get clear(): boolean {
    return this.#transits.length === 0 && !this.#arriving;
  }

  put(arrive: () => void, lost: () => void, lag: number): void {
    if (lag === 0 && this.clear) return arrive();
    const at = Math.max(this.#clock.monotonic() + lag, this.#transits.at(-1)?.at ?? 0);
    this.#transits.push({ at, arrive, lost });
    if (this.#timer === undefined && !this.#arriving) this.#arm();
  }

  /**
   * Loses everything in transit, except the first messages. `survivors` gets the number of messages in transit; it
   * returns how many of them still arrive, and by how many ms each of these is further delayed. They may arrive after
   * messages that are sent after this call.
   */
  cut(survivors: (count: number) => [count: number, later: number]): void {
    if (this.#transits.length === 0) return;
    const transits = this.#transits;
    this.#transits = [];
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    const [count, later] = survivors(transits.length);
    for (const { at, arrive } of transits.slice(0, count)) this.#clock.after(Math.max(0, at - now) + later, arrive);
    for (const { lost } of transits) lost();
  }

  #arm(): void {
    const wait = Math.max(0, this.#transits[0].at - this.#clock.monotonic());
    this.#timer = this.#clock.after(wait, () => {
      this.#timer = undefined;
      // while this is true, messages that are sent queue behind the messages that arrive now
      this.#arriving = true;
      while (this.#transits.length > 0 && this.#transits[0].at <= this.#clock.monotonic()) {
        this.#transits.shift()!.arrive();
      }
      this.#arriving = false;
      if (this.#transits.length > 0) this.#arm();
    });
  }
}
