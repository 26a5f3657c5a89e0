/** A function for tests that reads a run. */
import type { RunInfo } from "@catga/catga";

/**
 * Returns a run as operators see it; throws if there is none with this id.
 * @decides for tests: a run is read by its id
 */
export async function infoOf(
  app: { runs(options: object): AsyncIterableIterator<RunInfo> },
  id: string,
  workflow?: string,
): Promise<RunInfo> {
  for await (const info of app.runs({ id, workflow })) return info;
  throw new Error(`no run ${id}`);
}
