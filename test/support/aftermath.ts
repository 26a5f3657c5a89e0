/** The state of a cluster after its last fault: what does not work again, and which entries outlived their ttl. */
import { catga } from "../../src/catga.ts";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import { livenessViolations, type Probe, probe, type ProbeOptions } from "./liveness.ts";
import { ServerPace } from "./server_pace.ts";
import { lastingViolations, readStore } from "./store_check.ts";

/** Options of {@link aftermath}. */
export interface AftermathOptions extends Pick<ProbeOptions, "gaps"> {
  readonly urls: readonly string[];
  readonly namespace: string;
  readonly replicas?: number | undefined;
}

/**
 * Runs the probes on a new client, then reads the store: a line for each violation. To be called after the last fault.
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
  await using pace = await ServerPace.measure(urls);
  const all = async () => [...pace.gaps, ...await gaps?.() ?? []];
  const violations = livenessViolations(await probe(probes(app), { gaps: all }));
  return [...violations, ...await lastingViolations(() => readStore(urls, namespace))];
}
