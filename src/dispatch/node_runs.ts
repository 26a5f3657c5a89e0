/** What an app needs of the runs of workflows. `flow/` implements it, `catga.ts` wires it. */
import type { RunInfo, RunsOptions } from "../contract/flow.ts";
import type { RunDriver } from "../contract/workflow_body.ts";
import type { RunSender } from "./context_host.ts";

/** The runs of a namespace, as one node starts, drives and reaches them. */
export interface NodeRuns extends RunDriver, Omit<RunSender, "nodeRuns"> {
  infos(options: RunsOptions): AsyncIterableIterator<RunInfo>;
  /** Begins no more attempts of steps; what runs comes to its end. For the begin of a drain. */
  leave(): void;
  /** Ends everything. */
  close(): void;
}
