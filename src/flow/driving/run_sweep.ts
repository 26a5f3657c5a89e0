/**
 * Removes runs whose `keep` time has passed: one of the nodes that handle a workflow reads its ended runs, the oldest
 * first, removes those past their `keep`, and stops at the first run that is too young.
 */
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { firstHandling } from "../../contract/declaration/workflow.ts";
import type { WorkflowDefinition } from "../../contract/declaration/workflow_body.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { RunLog } from "../stored/run_log.ts";

/** The part of a node that {@link startSweep} uses to remove old runs. */
export interface SweepHost {
  readonly app: { readonly observer: Observer; nodes(): readonly NodeInfo[] };
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Pick<RunLog, "ends" | "forget">;
}

/** Removes the old runs of a workflow at intervals. Returns a function that stops it. */
export function startSweep(
  { app, endpoint, clock, log }: SweepHost,
  { name, keep }: Pick<WorkflowDefinition, "name" | "keep">,
): () => void {
  let closed = false;
  let timer: Timer;
  const later = () => {
    if (closed) return;
    timer = clock.after(Math.min(LONGEST_PAUSE, keep / 4), () => {
      const during = `forgetting runs of ${name}`;
      sweep().catch((error) => app.observer({ type: "fault", during, error })).finally(later);
    }, { background: true });
  };
  const sweep = async () => {
    const first = firstHandling(name, app.nodes());
    if (first !== undefined && first !== endpoint) return;
    for await (const { ref, sequence, until } of log.ends(name, clock.now() - SHORTEST_KEEP)) {
      if (closed) return;
      if (until <= clock.now()) await log.forget(ref, sequence);
    }
  };
  later();
  return () => {
    closed = true;
    timer.cancel();
  };
}

/** Minimum of a workflow's option `keep`, in ms. */
export const SHORTEST_KEEP = 60_000;
/** Maximum time between two searches for old runs, in ms. */
const LONGEST_PAUSE = 3_600_000;
