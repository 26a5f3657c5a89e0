/** The state of a cluster after its last fault: what does not work again, and which entries outlived their ttl. */
import type { NatsConnection } from "@nats-io/transport-node";
import { catga } from "../../src/catga.ts";
import type { Catga } from "../../src/contract/running_node.ts";
import { setTimeout as wait } from "node:timers/promises";
import { LEAST_GAP } from "../processes/loop_gaps.ts";
import { trueNow } from "../processes/skewed_clock.ts";
import { livenessViolations, type Probe, probe, type ProbeOptions } from "./liveness.ts";
import { connectTo, readStore, storeViolations } from "./store_check.ts";

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
  return [...violations, ...storeViolations(await readStore(urls, namespace))];
}

const EVERY = 20; // ms

/** Measures how soon an undisturbed server answers: a slow answer is a gap of the machine, which the limits of probes exclude. */
class ServerPace implements AsyncDisposable {
  readonly gaps: { readonly from: number; readonly to: number }[] = [];
  readonly #connection: NatsConnection;
  readonly #measuring: Promise<void>;
  #over = false;

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#measuring = this.#measure();
  }

  static async measure(urls: readonly string[]): Promise<ServerPace> {
    return new ServerPace(await connectTo(urls));
  }

  async #measure(): Promise<void> {
    while (!this.#over) {
      const from = trueNow();
      await this.#connection.flush();
      const to = trueNow();
      if (to - from >= LEAST_GAP) this.gaps.push({ from, to });
      await wait(EVERY);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#measuring;
    await this.#connection.close();
  }
}
