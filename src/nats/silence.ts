/**
 * Notices that a server, which sends heartbeats while it has nothing to deliver, has fallen silent. While only
 * heartbeats come, one timer fires for each two or three of them; the clock is not read for each message.
 */
import type { Clock, Timer } from "../ports/clock.ts";
import { stoodStill } from "../ports/standstill.ts";

/** Number of heartbeat intervals without a sign after which the server is suspected of silence. */
const SUSPICION = 2.5;
/**
 * Time between the suspicion and the report, in heartbeat intervals: if this process was paused until the suspicion, it
 * reads its socket in this time.
 */
const CONFIRMATION = 0.25;

/** Watches one sender of heartbeats, from its construction on. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #onSilent: (ms: number) => void;
  /** Time without a sign until the server is suspected, in ms. */
  readonly #limit: number;
  readonly #heartbeat: number;
  /** Interval between checks while messages come, in ms. */
  readonly #step: number;
  /** Time of the last sign, by the monotonic clock; messages since the last check are not included. */
  #lastSign: number;
  /** True if a message has come since the last check, and no heartbeat after it. */
  #signed = false;
  #isSuspected = false;
  #timer: Timer | undefined;
  /** Time of the next check, by the monotonic clock. */
  #checkAt = 0;
  #closed = false;

  /**
   * `heartbeat`: interval of heartbeats, in ms. `onSilent` is called once, 2.75 intervals after the last heartbeat or
   * 2.5 to 3 after the last message, with the length of the silence in ms.
   */
  constructor(clock: Clock, heartbeat: number, onSilent: (ms: number) => void) {
    this.#clock = clock;
    this.#onSilent = onSilent;
    this.#heartbeat = heartbeat;
    this.#limit = SUSPICION * heartbeat;
    this.#step = heartbeat / 2;
    this.#lastSign = clock.monotonic();
    this.#checkIn(this.#limit);
  }

  /** Records a sign of life of the server. Called for each message. */
  message(): void {
    if (this.#signed || this.#closed) return;
    this.#signed = true;
    if (this.#checkAt - this.#clock.monotonic() > this.#step) this.#checkIn(this.#step);
  }

  /** Records a sign of life of the server. Called for each heartbeat. */
  heartbeat(): void {
    this.#signed = false;
    this.#signAt(this.#clock.monotonic());
  }

  /** Ends the watch. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #checkIn(ms: number): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#checkAt = this.#clock.monotonic() + ms;
    this.#timer = this.#clock.after(ms, () => this.#check(), { background: true });
  }

  #check(): void {
    const now = this.#clock.monotonic();
    if (this.#signed) {
      this.#signed = false;
      // the last message came between the last check and this one
      this.#signAt(now - this.#step / 2);
      return this.#checkIn(this.#step);
    }
    // this process was paused, and messages may wait in its socket: give it time to read them
    if (stoodStill(now, this.#checkAt)) this.#signAt(now);
    const left = this.#lastSign + this.#limit - now;
    if (left > 0) return this.#checkIn(left);
    if (!this.#isSuspected) {
      this.#isSuspected = true;
      return this.#checkIn(CONFIRMATION * this.#heartbeat);
    }
    this.close();
    this.#onSilent((SUSPICION + CONFIRMATION) * this.#heartbeat);
  }

  #signAt(time: number): void {
    this.#lastSign = time;
    this.#isSuspected = false;
  }
}
