/** Identifies a run: its workflow, and its id. */
export interface RunRef {
  readonly workflow: string;
  readonly run: string;
}

/** Returns the key of a run among the runs of a node. */
export function keyOf({ workflow, run }: RunRef): string {
  return `${workflow}/${run}`;
}
