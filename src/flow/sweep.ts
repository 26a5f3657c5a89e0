/**
 * Forgets runs whose time is over. One node of those that handle a workflow reads its runs from the oldest message on,
 * up to those that are too young to be forgotten: what it reads is what it removes, and the runs that are open for
 * long.
 */
import type { NodeInfo } from "../contract/node_info.ts";
import type { WorkflowDefinition } from "../contract/workflow_body.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { RunLog } from "./run_log.ts";

/** What a {@link Sweep} needs of its node. */
export interface SweepHost {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  nodes(): readonly NodeInfo[];
  fault(during: string, error: unknown): void;
}

/** Sweeps the runs of one workflow. */
export class Sweep {
  readonly #host: SweepHost;
  readonly #definition: WorkflowDefinition;
  #timer: Timer | undefined;
  #closed = false;

  constructor(host: SweepHost, definition: WorkflowDefinition) {
    this.#host = host;
    this.#definition = definition;
    this.#later();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(): void {
    if (this.#closed) return;
    const { keep } = this.#definition;
    const pause = Math.min(LONGEST_PAUSE, keep / 4);
    this.#timer = this.#host.clock.after(pause, () => {
      this.#sweep().catch((error) => this.#host.fault(`forgetting runs of ${this.#definition.name}`, error)).finally(
        () => this.#later(),
      );
    }, { background: true });
  }

  async #sweep(): Promise<void> {
    const { endpoint, log, clock, nodes } = this.#host;
    const { name, type } = this.#definition;
    const announced = `${type}/${type}.called`;
    const first = nodes().filter(({ subscriptions }) => subscriptions?.includes(announced))
      .map((node) => node.endpoint).sort()[0];
    if (first !== undefined && first !== endpoint) return;
    for await (const { ref, sequence, until } of log.ends(name, clock.now() - SHORTEST_KEEP)) {
      if (this.#closed) return;
      if (until <= clock.now()) await log.forget(ref, sequence);
    }
  }
}

const LONGEST_PAUSE = 3_600_000; // ms
/** The shortest time that a workflow may keep its runs for, in ms. */
const SHORTEST_KEEP = 60_000;
