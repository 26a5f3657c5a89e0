/** How a run is named. */
export interface RunRef {
  readonly workflow: string;
  readonly run: string;
}

/** The key of a run among those of a node. */
export function keyOf({ workflow, run }: RunRef): string {
  return `${workflow}/${run}`;
}
