/**
 * Forgets runs whose time is over. One node of those that handle a workflow reads its runs from the oldest message on,
 * up to those that are too young to be forgotten: what it reads is what it removes, and the runs that are open for
 * long.
 */
import type { NodeInfo } from "../contract/node_info.ts";
import type { WorkflowDefinition } from "../contract/workflow_body.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { RunLog } from "./run_log.ts";

/** Parts of the node that {@link sweeping} needs. */
export interface SweepHost {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  nodes(): readonly NodeInfo[];
  fault(during: string, error: unknown): void;
}

/** Sweeps the runs of one workflow, until the function that it returns is called. */
export function sweeping(
  { endpoint, clock, log, nodes, fault }: SweepHost,
  { name, type, keep }: WorkflowDefinition,
): () => void {
  let closed = false;
  let timer: Timer;
  const later = () => {
    if (closed) return;
    timer = clock.after(Math.min(LONGEST_PAUSE, keep / 4), () => {
      sweep().catch((error) => fault(`forgetting runs of ${name}`, error)).finally(later);
    }, { background: true });
  };
  const sweep = async () => {
    const first = nodes().filter(({ subscriptions }) => subscriptions?.includes(`${type}/${type}.called`))
      .map((node) => node.endpoint).sort()[0];
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

const LONGEST_PAUSE = 3_600_000; // ms
/** The shortest time that a workflow may keep its runs for, in ms. */
const SHORTEST_KEEP = 60_000;
