/** What is left of a run with faults when the last of them has ended: what does not work again, and what is stale. */
import { catga } from "../catga.ts";
import type { Catga } from "../running_node.ts";
import { livenessDoubts, type Probe, probe, type ProbeOptions } from "./liveness.ts";
import { readStore, storeDoubts } from "./store_check.ts";

/** Where it is looked for. */
export interface AftermathOptions extends Pick<ProbeOptions, "gaps"> {
  readonly urls: readonly string[];
  readonly namespace: string;
  readonly replicas?: number | undefined;
}

/**
 * Asks by a client of its own, from when it is connected on, then reads the store: a line for each doubt, none when all is
 * well. To be called when the last fault has ended.
 */
export async function aftermath(
  { urls, namespace, replicas = 1, gaps }: AftermathOptions,
  probes: (app: Catga) => readonly Probe[],
): Promise<string[]> {
  await using app = await catga({
    nats: { servers: [...urls] },
    id: `after-${crypto.randomUUID().slice(0, 8)}`,
    service: "aftermath",
    namespace,
    replicas,
  });
  const doubts = livenessDoubts(await probe(probes(app), { gaps }));
  return [...doubts, ...storeDoubts(await readStore(urls, namespace))];
}
