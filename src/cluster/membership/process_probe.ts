/** Asks whether a process is alive, by one ping: for a node that finds another process under its own id. */
import type { Clock } from "../../ports/clock.ts";

/** What a probe needs of its node. */
export interface ProcessProbeOptions {
  readonly clock: Clock;
  /** Sends a ping; {@link ProcessProbe.report} is called with its outcome. */
  ping(endpoint: string): void;
}

/** The questions of one node. */
export class ProcessProbe {
  readonly #options: ProcessProbeOptions;
  readonly #pending: Map<string, (alive: boolean) => void> = new Map();

  constructor(options: ProcessProbeOptions) {
    this.#options = options;
  }

  /**
   * Resolves with whether a process is at an endpoint; `undefined` when neither an answer nor a bounce comes within 1 s. One
   * question at a time for each endpoint.
   */
  isAlive(endpoint: string): Promise<boolean | undefined> {
    const { clock, ping } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(LIMIT, () => done(undefined));
      const done = (alive: boolean | undefined) => {
        timer.cancel();
        this.#pending.delete(endpoint);
        resolve(alive);
      };
      this.#pending.set(endpoint, done);
      ping(endpoint);
    });
  }

  /** A frame has come from a process, or one to it has bounced. */
  report(endpoint: string, alive: boolean): void {
    this.#pending.get(endpoint)?.(alive);
  }
}

const LIMIT = 1_000; // ms
