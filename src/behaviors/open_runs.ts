/** Counts open runs by workflow and status. Of the nodes that handle a workflow, the first by its endpoint counts. */
import type { RunStatus } from "../contract/flow.ts";
import type { Catga } from "../contract/running_node.ts";
import { drivenWorkflow, firstHandling } from "../contract/workflow.ts";
import type { Timer } from "../ports/clock.ts";

/** Open runs of a workflow in one status. */
export interface OpenRunCount {
  readonly workflow: string;
  readonly status: RunStatus;
  readonly count: number;
}

/** The open runs as one node sees them. */
export class OpenRuns {
  readonly #app: Catga;
  /** By workflow and status; those that were counted once stay, with 0: an SDK goes on to tell the last figure. */
  readonly #counts = new Map<string, Map<RunStatus, number>>();
  #timer: Timer;
  #closed = false;

  constructor(app: Catga) {
    this.#app = app;
    this.#timer = this.#after(FIRST_COUNT_AFTER);
  }

  /** As they were counted last. */
  get counts(): readonly OpenRunCount[] {
    return [...this.#counts].flatMap(([workflow, counts]) =>
      [...counts].map(([status, count]) => ({ workflow, status, count }))
    );
  }

  /** Counts no more. */
  close(): void {
    this.#closed = true;
    this.#timer.cancel();
  }

  #after(ms: number): Timer {
    return this.#app.clock.after(ms, () => {
      const { clock } = this.#app;
      const began = clock.monotonic();
      // what cannot be read now is counted the next time: the log of the app says that it is out of reach
      this.#count().catch(() => {}).finally(() => {
        if (!this.#closed) this.#timer = this.#after(Math.max(COUNT_INTERVAL, SHARE * (clock.monotonic() - began)));
      });
    }, { background: true });
  }

  async #count(): Promise<void> {
    for (const workflow of workflowsOf(this.#app)) {
      const counted = new Map<RunStatus, number>();
      for (const status of this.#counts.get(workflow)?.keys() ?? []) counted.set(status, 0);
      for await (const { status } of this.#app.runs({ workflow, open: true })) {
        if (this.#closed) return;
        counted.set(status, (counted.get(status) ?? 0) + 1);
      }
      this.#counts.set(workflow, counted);
    }
    const counting = new Set(workflowsOf(this.#app));
    for (const [workflow, counts] of this.#counts) {
      // another node counts them now
      if (!counting.has(workflow)) { for (const status of counts.keys()) counts.set(status, 0); }
    }
  }
}

/** The workflows that an app handles, as the first by its endpoint of all nodes that do. */
function workflowsOf(app: Catga): readonly string[] {
  const nodes = app.nodes();
  const workflows = new Set(app.self.handles.flatMap((contract) => drivenWorkflow(contract) ?? []));
  return [...workflows].filter((workflow) => firstHandling(workflow, nodes) === app.self.endpoint);
}

/** Until the first count, and between two, in ms. */
const FIRST_COUNT_AFTER = 5_000;
const COUNT_INTERVAL = 60_000;
/** A pause is so many times as long as the count before it. */
const SHARE = 20;
