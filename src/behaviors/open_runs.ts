/**
 * Counts the open runs of workflows, by workflow and status. Of the nodes that handle a workflow, only the first by
 * endpoint counts its runs.
 */
import type { RunStatus } from "../contract/calls/flow.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import { drivenWorkflow, firstHandling } from "../contract/declaration/workflow.ts";
import type { Timer } from "../ports/clock.ts";

/** Number of open runs of a workflow in one status. */
export interface OpenRunCount {
  readonly workflow: string;
  readonly status: RunStatus;
  readonly count: number;
}

/** The numbers of open runs that this node counts. */
export class OpenRuns {
  readonly #app: Catga;
  /** Numbers of open runs, by workflow and status. A workflow and status that was counted once stays, also with 0. */
  readonly #counts = new Map<string, Map<RunStatus, number>>();
  #timer: Timer;
  #closed = false;

  constructor(app: Catga) {
    this.#app = app;
    this.#timer = this.#after(FIRST_COUNT_AFTER);
  }

  /** The numbers of open runs that the last completed count found. */
  get counts(): readonly OpenRunCount[] {
    return [...this.#counts].flatMap(([workflow, counts]) =>
      [...counts].map(([status, count]) => ({ workflow, status, count }))
    );
  }

  /** Stops counting: no further count begins. */
  close(): void {
    this.#closed = true;
    this.#timer.cancel();
  }

  #after(ms: number): Timer {
    return this.#app.clock.after(ms, () => {
      const { clock } = this.#app;
      const began = clock.monotonic();
      // a failed count is repeated later; the app's log reports a store that cannot be reached
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
      // the numbers are set to 0, because another node now counts the runs of this workflow
      if (!counting.has(workflow)) { for (const status of counts.keys()) counts.set(status, 0); }
    }
  }
}

/** Returns the workflows that an app handles, if its endpoint is the first of all nodes that handle them. */
function workflowsOf(app: Catga): readonly string[] {
  const nodes = app.nodes();
  const workflows = new Set(app.self.handles.flatMap((contract) => drivenWorkflow(contract) ?? []));
  return [...workflows].filter((workflow) => firstHandling(workflow, nodes) === app.self.endpoint);
}

/** Time until the first count, in ms. */
const FIRST_COUNT_AFTER = 5_000;
/** Minimum time between two counts, in ms. */
const COUNT_INTERVAL = 60_000;
/** A count that took n ms is followed by a pause of at least this many times n ms. */
const SHARE = 20;
