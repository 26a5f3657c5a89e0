/** What a test cluster is started with. */
import type { CatgaOptions, Faults } from "../../mod.ts";

/** Options of `testCluster`: options of `catga` for every node, and these. */
export interface TestClusterOptions extends Omit<CatgaOptions, "nats" | "network" | "id" | "transport" | "signals"> {
  /** Further options of one node, such as its service or its handlers; called with its id whenever it starts. */
  node?: ((id: string) => Partial<Omit<CatgaOptions, "nats" | "network" | "id">>) | undefined;
  /** The seed of all random numbers, a safe integer; 1. Runs with the same seed are the same. */
  seed?: number | undefined;
  /** Random faults, from when all nodes have joined; none. */
  faults?: Faults | undefined;
  /** How many NATS servers are simulated; 1. */
  servers?: number | undefined;
  /** The largest message, in bytes; 1 MiB. */
  maxPayload?: number | undefined;
  /**
   * `"virtual"`: an hour passes in milliseconds, but only while the test awaits something of the cluster. `"manual"`: time
   * passes only in `advance` and `until`. `"real"`: real time. `"virtual"`.
   */
  time?: "virtual" | "manual" | "real" | undefined;
}

/** Throws a `TypeError` for options that a test cluster does not take. */
export function checkTestOptions(options: TestClusterOptions): void {
  const { time = "virtual" } = options;
  if (!["virtual", "manual", "real"].includes(time)) {
    throw new TypeError(`time must be "virtual", "manual" or "real"; got ${JSON.stringify(time)}`);
  }
  const given: Readonly<Record<string, unknown>> = { ...options };
  const foreign = NOT_OF_TESTS.find((name) => given[name] !== undefined);
  if (foreign !== undefined) {
    throw new TypeError(`testCluster takes no ${foreign}: its nodes run in memory, on a network of the cluster`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(KNOWN, name));
  if (unknown !== undefined && !NOT_OF_TESTS.includes(unknown)) {
    throw new TypeError(`testCluster: unknown option ${unknown}; it takes ${Object.keys(KNOWN).join(", ")}`);
  }
}

/** The ids of the nodes. Throws a `RangeError` for an invalid size, and a `TypeError` for a repeated id. */
export function idsOf(size: number | readonly string[]): readonly string[] {
  if (typeof size !== "number") {
    const twice = size.find((id, i) => size.indexOf(id) !== i);
    if (twice !== undefined) {
      throw new TypeError(`every node needs an id of its own; got ${JSON.stringify(twice)} twice`);
    }
    return size;
  }
  if (!Number.isInteger(size) || size < 1 || size > 1_000) {
    throw new RangeError(`the size of a cluster is a whole number from 1 to 1,000; got ${size}`);
  }
  return Array.from({ length: size }, (_, i) => `node-${i + 1}`);
}

/** Options of `catga` that a cluster of tests sets itself, or has no use for. */
const NOT_OF_TESTS = ["nats", "network", "id", "transport", "signals"];

/** Its options: its own first, then those of every node. */
const KNOWN: Readonly<Record<keyof TestClusterOptions, true>> = {
  node: true,
  time: true,
  seed: true,
  faults: true,
  servers: true,
  maxPayload: true,
  handlers: true,
  namespace: true,
  service: true,
  metadata: true,
  timeout: true,
  retries: true,
  route: true,
  concurrency: true,
  heartbeat: true,
  breaker: true,
  behaviors: true,
  carry: true,
  logger: true,
  replicas: true,
};
