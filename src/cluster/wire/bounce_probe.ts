/**
 * Finds out if messages to a subject without subscribers bounce (the server answers that there is none). They do not
 * if a client or stream subscribes to every subject (a tap); then the death of a node is found later, by unanswered
 * pings.
 */
import type { Timer } from "../../ports/clock.ts";
import { publishIfOpen, type Transport } from "../../ports/transport.ts";

/** Options of a {@link BounceProbe}. */
interface BounceProbeOptions {
  readonly transport: Transport;
  /** A subject to which no part of Catga subscribes. */
  readonly subject: string;
  /** Subject to which the bounce (no responders) is sent; its subscriber calls {@link BounceProbe.stop}. */
  readonly reply: string;
  /** Called at most once, if messages to a subject without subscribers do not bounce. */
  noBounces(): void;
}

/**
 * One test if messages bounce (no responders). It is repeated once if no bounce comes, because a single message may get
 * lost.
 */
export class BounceProbe {
  readonly #options: BounceProbeOptions;
  #unanswered = 0;
  #stopped = false;
  #timer: Timer | undefined;

  /** Publishes the test message at once, if the transport is connected. */
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
      // the server answers in order: the bounce would come before the answer to the flush
      transport.flush().then(() => this.#after(SETTLE, () => this.#noBounce(generation)), () => {
        // nothing to conclude: the connection was lost, and perhaps the test message with it
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

const BOUNCE_TIMEOUT = 1_000; // ms; a bounce takes less than 1 ms (docs/internals/measurements.md)
const SETTLE = 10; // ms from the arrival of a message to its subscriber
const PROBES = 2;
