/** Runs, for tests. */
import type { RunInfo } from "@catga/catga";

/** A run as operators see it. */
export async function infoOf(
  app: { runs(options: object): AsyncIterableIterator<RunInfo> },
  id: string,
  workflow?: string,
): Promise<RunInfo> {
  for await (const info of app.runs({ id, workflow })) return info;
  throw new Error(`no run ${id}`);
}
