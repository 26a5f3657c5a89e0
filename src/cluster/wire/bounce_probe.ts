/**
 * Finds out whether messages to nobody come back. Somebody who subscribes to every subject (a tap, a stream) takes them;
 * deaths are found by unanswered pings then, and later.
 */
import type { Timer } from "../../ports/clock.ts";
import type { Transport } from "../../ports/transport.ts";

/** What a probe is made of. */
export interface BounceProbeOptions {
  readonly transport: Transport;
  /** Where nobody can be. */
  readonly subject: string;
  /** Where it comes back to; subscribed by whoever then calls {@link BounceProbe.returned}. */
  readonly reply: string;
  /** Nothing comes back. Called once at most. */
  silent(): void;
}

/** One question. It is asked again when nothing comes back: a single message may get lost. */
export class BounceProbe {
  readonly #options: BounceProbeOptions;
  #silences = 0;
  #over = false;
  #timer: Timer | undefined;

  /** Asks at once, when it is connected. */
  constructor(options: BounceProbeOptions) {
    this.#options = options;
    this.#ask();
  }

  /** It came back. */
  returned(): void {
    this.stop();
  }

  stop(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  #ask(): void {
    const { transport, subject, reply } = this.#options;
    const { state, generation } = transport.status;
    if (state !== "connected") return;
    transport.publish(subject, "", { reply });
    this.#after(WAIT, () => {
      // the server's answers come in order: behind this one it does not come any more
      transport.flush().then(() => this.#after(SETTLE, () => this.#silence(generation)), () => {
        // the connection was lost, and it with it: that says nothing
      });
    });
  }

  #silence(generation: number): void {
    const { transport, silent } = this.#options;
    if (transport.status.state !== "connected" || transport.status.generation !== generation) return;
    if (++this.#silences < TIMES) return this.#ask();
    this.#over = true;
    silent();
  }

  #after(ms: number, then: () => void): void {
    if (!this.#over) this.#timer = this.#options.transport.clock.after(ms, then, { background: true });
  }
}

const WAIT = 1_000; // ms: a bounce takes one at most (measured)
const SETTLE = 10; // ms from the arrival of a message to its subscriber
const TIMES = 2;
