/** Options of a test cluster. */
import type { CatgaOptions } from "../../mod.ts";
import { checkBoolean, checkFunction, checkKnown, checkNumber, MAX_TIMEOUT, show } from "../data/checks.ts";
import type { Faults } from "../memory/faults.ts";
import { OPTIONS } from "../node/app_options.ts";

/** Options of `testCluster`: the options of `catga`, for every node, and the options below. */
export interface TestClusterOptions
  extends Omit<CatgaOptions, "nats" | "network" | "file" | "id" | "transport" | "signals"> {
  /**
   * Returns further options for the node with this id, such as its service or its handlers. Called whenever that node
   * starts.
   */
  node?: ((id: string) => Partial<Omit<CatgaOptions, "nats" | "network" | "id">>) | undefined;
  /**
   * True: the cluster is one node, as on `catga({ file })`. `kill` and `start` restart the program on its file, at any
   * moment and in no time: what was stored is there, and everything goes on at once. Default: false.
   */
  file?: boolean | undefined;
  /** Seed of all random numbers of the cluster, a safe integer. Equal seeds give equal runs. Default: 1. */
  seed?: number | undefined;
  /** Random faults of the cluster, which begin when all nodes have joined. Default: none. */
  faults?: Faults | undefined;
  /** Number of simulated NATS servers. Default: 1. */
  servers?: number | undefined;
  /** Maximum size of a message, in bytes. Default: 1 MiB. */
  maxPayload?: number | undefined;
  /**
   * `"virtual"` (default): time passes by itself while the test awaits a promise of the cluster, an hour in about a
   * second for each node and subscription.
   * `"manual"`: time passes only in `advance` and `until`. `"real"`: real time.
   */
  time?: "virtual" | "manual" | "real" | undefined;
}

/** Throws a `TypeError` if a test cluster does not take the options. */
export function checkTestOptions(options: TestClusterOptions): void {
  const given: Readonly<Record<string, unknown>> = { ...options };
  const foreign = NOT_OF_TESTS.find((name) => given[name] !== undefined);
  if (foreign !== undefined) {
    throw new TypeError(`testCluster takes no ${foreign}: its nodes run in memory, on a network of the cluster`);
  }
  const absent = Object.keys(given).filter((name) => NOT_OF_TESTS.includes(name));
  checkKnown("testCluster", options, new Set([...KNOWN, ...absent]));
  const { time = "virtual", node, file } = options;
  if (file !== undefined) checkBoolean("file", file);
  if (!["virtual", "manual", "real"].includes(time)) {
    throw new TypeError(`time must be "virtual", "manual" or "real"; got ${show(time)}`);
  }
  if (node !== undefined) checkFunction("node", node);
  checkList(options);
}

/** Checks and returns the options of one node. Throws a `TypeError` if a node of a test cluster cannot have them. */
export function checkNodeOptions<T extends Partial<CatgaOptions>>(at: string, options: T): T {
  checkKnown(at, options, NODE_OPTIONS);
  checkList(options);
  return options;
}

/**
 * Checks that `behaviors` is a list, because the recorder's behavior is put before them; `catga` checks each
 * behavior.
 */
function checkList({ behaviors }: Pick<CatgaOptions, "behaviors">): void {
  if (behaviors === undefined || Array.isArray(behaviors)) return;
  throw new TypeError(`behaviors must be an array of functions; got ${show(behaviors)}`);
}

/** Throws a `TypeError` or `RangeError` if the limit given to a method is invalid. */
export function checkLimit(method: string, limit: number): void {
  checkNumber(`${method}: limit`, limit, 0, Number.MAX_VALUE, "ms");
}

/**
 * Returns the ids of the cluster's nodes. Throws a `RangeError` for an invalid size, and a `TypeError` for a repeated
 * id.
 */
export function idsOf(size: number | readonly string[], isFile = false): readonly string[] {
  if (isFile && (typeof size === "number" ? size : size?.length) !== 1) {
    throw new RangeError(
      `one process at a time has a file: with \`file\`, a test cluster has 1 node; got ${show(size)}`,
    );
  }
  if (typeof size !== "number") {
    if (!Array.isArray(size)) {
      throw new TypeError(`testCluster takes a number of nodes, or their ids; got ${show(size)}`);
    }
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

/** Options of `catga` that a test cluster sets itself, or that have no use in a test. */
const NOT_OF_TESTS = ["nats", "network", "id", "transport", "signals"];

/** Options of a test cluster: its own options first, then the options of every node. */
const KNOWN = [
  ...["node", "time", "file", "seed", "faults", "servers", "maxPayload"],
  ...[...OPTIONS].filter((name) => !NOT_OF_TESTS.includes(name)),
];
const NODE_OPTIONS = new Set([...OPTIONS].filter((name) => !["nats", "network", "id"].includes(name)));

// Kinds of records that a test can wait for, and the options of a wait.

/** Kind of a record: an app has sent, published, enqueued or broadcast a message, or handled one. */
export type RecordType = "sent" | "published" | "enqueued" | "broadcast" | "handled";

/** Options of `Recorder.next`. */
export interface NextOptions {
  /**
   * Kind of the records to wait for. Default: `"published"` for an event, `"handled"` for a command or a query.
   * `"started"`: a record of a handler that has begun; it gets its result later, as a `"handled"` record.
   */
  type?: RecordType | "started" | undefined;
  /** Time to wait for a record, in ms of the cluster's time, 0 to 2^31 - 1. Default: 30,000. */
  limit?: number | undefined;
}

/** Throws a `TypeError` or `RangeError` if the options are invalid. */
export function checkNextOptions(options: NextOptions): void {
  checkKnown("recorder.next", options, NEXT_OPTIONS);
  const { type, limit } = options;
  if (type !== undefined && !TYPES.has(type)) {
    throw new TypeError(`recorder.next: type must be one of ${[...TYPES].join(", ")}; got ${show(type)}`);
  }
  if (limit !== undefined) checkNumber("recorder.next: limit", limit, 0, MAX_TIMEOUT, "ms");
}

const NEXT_OPTIONS: ReadonlySet<string> = new Set<keyof NextOptions>(["type", "limit"]);
const TYPES: ReadonlySet<string> = new Set<NonNullable<NextOptions["type"]>>([
  ...["sent", "published", "enqueued", "broadcast", "handled", "started"] as const,
]);
