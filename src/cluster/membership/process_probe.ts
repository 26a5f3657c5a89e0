/** Asks if a process is alive, by pinging it. Used by a node that finds another process under its own id. */
import { within } from "../../ports/clock.ts";
import type { Transport } from "../../ports/transport.ts";

/** Dependencies of a {@link ProcessProbe} on its node. */
interface ProcessProbeOptions {
  readonly transport: Pick<Transport, "clock" | "flush">;
  /** Sends a ping to this endpoint; {@link ProcessProbe.report} is called with its outcome. */
  ping(endpoint: string): void;
}

/** The questions of one node if other processes are alive. */
export class ProcessProbe {
  readonly #options: ProcessProbeOptions;
  readonly #pending: Map<string, (alive: boolean) => void> = new Map();

  constructor(options: ProcessProbeOptions) {
    this.#options = options;
  }

  /**
   * Pings an endpoint. Resolves with true if a process answers, false if the ping bounces (no responders); `undefined`
   * if neither happens within 1 s, twice: the server may still route to a process that was killed a moment ago. Do not
   * call again for this endpoint before the promise has settled. Rejects with `UNAVAILABLE` if the connection is lost
   * before the answer.
   */
  async isAlive(endpoint: string): Promise<boolean | undefined> {
    const { transport, ping } = this.#options;
    let alive: boolean | undefined;
    const shown = new Promise<void>((resolve) => {
      this.#pending.set(endpoint, (answer) => {
        alive = answer;
        resolve();
      });
    });
    try {
      for (let asked = 0; alive === undefined && asked < PINGS; asked++) {
        ping(endpoint);
        // the server answers in order: a bounce, however late, comes before the flush resolves
        await Promise.race([shown, transport.flush()]);
        await within(transport.clock, PING_TIMEOUT, shown);
      }
      return alive;
    } finally {
      this.#pending.delete(endpoint);
    }
  }

  /**
   * Ends the wait of {@link ProcessProbe.isAlive} for a process. `alive`: true: a frame has come from the process;
   * false: a frame to it has bounced (no responders).
   */
  report(endpoint: string, alive: boolean): void {
    this.#pending.get(endpoint)?.(alive);
  }
}

const PING_TIMEOUT = 1_000; // ms
const PINGS = 2;
