/** What is left of a run with faults when the last of them has ended: what does not work again, and what is stale. */
import { trueNow } from "../../scripts/skewed_clock.ts";
import { catga } from "../catga.ts";
import type { Catga } from "../running_node.ts";
import { livenessDoubts, type Probe, probe } from "./liveness.ts";
import { readStore, storeDoubts } from "./store_check.ts";

/** Where it is looked for. */
export interface AftermathOptions {
  readonly urls: readonly string[];
  readonly namespace: string;
  readonly replicas?: number | undefined;
  /** When the last fault had ended, in ms since 1970; now. */
  readonly since?: number | undefined;
}

/** Asks by a client of its own, then reads the store: a line for each doubt, none when all is well. */
export async function aftermath(
  { urls, namespace, replicas = 1, since = trueNow() }: AftermathOptions,
  probes: (app: Catga) => readonly Probe[],
): Promise<string[]> {
  await using app = await catga({
    nats: { servers: [...urls] },
    id: `after-${crypto.randomUUID().slice(0, 8)}`,
    service: "aftermath",
    namespace,
    replicas,
  });
  const doubts = livenessDoubts(await probe(probes(app), since));
  return [...doubts, ...storeDoubts(await readStore(urls, namespace))];
}
