/**
 * Runs of workflows that an operator chooses, by the command line or on the page: the filters of `app.runs`, and a part
 * of the error of what is pending.
 *
 * @module
 */
import { hasFailedWith, type RunInfo, type RunsOptions } from "../contract/calls/flow.ts";

/** Chooses runs. */
export interface RunChoice extends RunsOptions {
  /** Only runs in which something that is pending failed with an error that has this text in it. Default: any. */
  readonly cause?: string | undefined;
}

/** Yields the runs that a choice fits. `list`: lists runs by the filters of `app.runs`. */
export async function* chosenRuns(
  list: (options: RunsOptions) => AsyncIterable<RunInfo>,
  { cause, ...options }: RunChoice,
): AsyncGenerator<RunInfo> {
  for await (const run of list(options)) {
    if (cause === undefined || hasFailedWith(run, cause)) yield run;
  }
}
