/**
 * Finds out whether messages to nobody bounce. They do not when somebody subscribes to every subject (a tap, a
 * stream); then a node's death is found later, by unanswered pings.
 */
import type { Timer } from "../../ports/clock.ts";
import { publishIfOpen, type Transport } from "../../ports/transport.ts";

/** Options of a probe. */
interface BounceProbeOptions {
  readonly transport: Transport;
  /** A subject that nobody of Catga subscribes to. */
  readonly subject: string;
  /** Subject at which the bounce arrives; its subscriber calls {@link BounceProbe.stop}. */
  readonly reply: string;
  /** Messages to nobody do not bounce. Called once at most. */
  noBounces(): void;
}

/** One probe. It is repeated once when nothing bounces: a single message may get lost. */
export class BounceProbe {
  readonly #options: BounceProbeOptions;
  #unanswered = 0;
  #stopped = false;
  #timer: Timer | undefined;

  /** Publishes at once, if the transport is connected. */
  constructor(options: BounceProbeOptions) {
    this.#options = options;
    this.#publish();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #publish(): void {
    const { transport, subject, reply } = this.#options;
    const { state, generation } = transport.status;
    if (state !== "connected") return;
    publishIfOpen(transport, subject, "", { reply });
    this.#after(BOUNCE_TIMEOUT, () => {
      // the server answers in order: after this answer no bounce follows
      transport.flush().then(() => this.#after(SETTLE, () => this.#noBounce(generation)), () => {
        // the connection was lost, and perhaps the message with it: that says nothing
      });
    });
  }

  #noBounce(generation: number): void {
    const { transport, noBounces } = this.#options;
    if (transport.status.state !== "connected" || transport.status.generation !== generation) return;
    if (++this.#unanswered < PROBES) return this.#publish();
    this.#stopped = true;
    noBounces();
  }

  #after(ms: number, then: () => void): void {
    if (!this.#stopped) this.#timer = this.#options.transport.clock.after(ms, then, { background: true });
  }
}

const BOUNCE_TIMEOUT = 1_000; // ms; a bounce takes less than one (docs/internals/measurements.md)
const SETTLE = 10; // ms from the arrival of a message to its subscriber
const PROBES = 2;
