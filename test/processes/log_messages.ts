/**
 * The messages of the log that the tests with real processes publish and handle, and the lines that these processes
 * write. All of a test append to one file, so that the order of its lines is the order in which things happened,
 * whatever the clocks say.
 *
 * @module
 */
import { command, type DurableCommand, type DurableEvent, event } from "@catga/catga";

/** The payload of every message of the log. */
export interface Task {
  /** Its name: no other message of the test has it. */
  readonly entry: string;
  readonly key?: string;
  /** Grows with each message of its key. */
  readonly seq: number;
  /** What its handler does; handles it at once. */
  readonly deed?: Deed;
}

/** What a handler does with a message. */
export type Deed = DeedOf & {
  /** In these subscriptions; in all. */
  readonly in?: readonly string[];
};

type DeedOf =
  /** It takes so long, in ms, unless its signal aborts. */
  | { readonly how: "slow"; readonly ms: number }
  /**
   * It fails in its first attempts, so many of them; or until a file is in the folder of the test. Then it waits for
   * the file `gate`.
   */
  | {
    readonly how: "fail";
    readonly times: number;
    readonly until?: string;
    readonly final?: boolean;
    readonly gate?: string;
  }
  /** It kills its process, before or after its effect: the first time, or every time. */
  | { readonly how: "die"; readonly when: "before" | "after"; readonly always?: boolean }
  /** It waits until this file is in the folder of the test, unless its signal aborts. */
  | { readonly how: "gate"; readonly file: string }
  /** It never ends: until its signal aborts; or not even then. */
  | { readonly how: "hang"; readonly stubborn?: boolean };

/** The contracts, in one of two versions. */
export interface Contracts {
  readonly Happened: DurableEvent<Task, Task>;
  /** A second category, without keys. */
  readonly Also: DurableEvent<Task, Task>;
  /** A category that only version 2 has handlers for. */
  readonly Lately: DurableEvent<Task, Task>;
  readonly Job: DurableCommand<Task, string>;
  readonly Charge: DurableCommand<Task, string>;
}

/** Makes the contracts. Version 2 takes its tasks through a schema, which marks them. */
export function contracts(version: 1 | 2 = 1): Contracts {
  const options = { durable: true as const, key: ({ key }: Task) => key! };
  const keyed = version === 1 ? options : { ...options, input: SECOND };
  return {
    Happened: event<Task, Task>("Happened", keyed),
    Also: event<Task, Task>("Also", { durable: true }),
    Lately: event<Task, Task>("Lately", options),
    Job: command<Task, string>("Job", { durable: true }),
    Charge: command<Task, string>("Charge", { durable: true, idempotent: true }),
  };
}

/** Returns true if messages of a category have a key, and so an order. */
export function isKeyed(category: string): boolean {
  return category === "Happened" || category === "Lately";
}

/** The names of the contracts. */
export type Category = keyof Contracts;

/** The schema of version 2, which old messages pass as well. */
const SECOND = {
  "~standard": {
    version: 1 as const,
    vendor: "catga-tests",
    validate: (value: unknown) => ({ value: { ...value as Task, second: true } as Task }),
  },
};

/** A line of the file. `at`: in ms since 1970, by the right clock. */
export type LogLine =
  /** A publisher is about to publish. */
  | {
    readonly event: "intent";
    readonly entry: string;
    readonly by: string;
    readonly category: string;
    readonly key?: string;
    readonly seq: number;
    /** It comes again and again: cron. */
    readonly recurring?: boolean;
    readonly at: number;
  }
  /** What it was told: stored, certainly not stored, or nobody knows. */
  | {
    readonly event: "ok" | "failed" | "unknown";
    readonly entry: string;
    readonly code?: string;
    readonly at: number;
  }
  /** A handler begins. */
  | {
    readonly event: "begin";
    readonly sub: string;
    readonly entry: string;
    readonly category: string;
    readonly key?: string;
    readonly seq: number;
    readonly position: number;
    readonly attempt: number;
    /** Of its leader: later ones have greater ones; 0 of a read model. */
    readonly fence: number;
    /** Of this run among all. */
    readonly run: string;
    readonly pid: number;
    readonly at: number;
  }
  /** A handler of what may die had its effect: at most one for each message and subscription. */
  | { readonly event: "effect"; readonly sub: string; readonly entry: string; readonly at: number }
  /** A handler has ended: it returned, failed, or its signal aborted. */
  | {
    readonly event: "end";
    readonly run: string;
    readonly how: "ok" | "failed" | "aborted";
    readonly at: number;
  }
  /** From now on this process is killed, stopped or cut off, going on, or no longer cut off. */
  | { readonly event: "killed" | "frozen" | "thawed" | "reachable"; readonly pid: number; readonly at: number }
  /** The machine gave this process no time, since `from`. */
  | { readonly event: "stalled"; readonly pid: number; readonly from: number; readonly at: number }
  /** Something else that makes takeovers: a server is struck, a link cut. */
  | { readonly event: "fault"; readonly what: string; readonly at: number }
  /** A dead letter was discarded: those behind it go on without it. Or is replayed: its attempts begin anew. */
  | { readonly event: "discarded" | "replayed"; readonly sub: string; readonly entry: string; readonly at: number }
  /** A subscription begins again: everything may be repeated. */
  | { readonly event: "rewound"; readonly sub: string; readonly at: number }
  /** The log was lost: what was being published may have been stored in it, without an answer, and once more since. */
  | { readonly event: "lost"; readonly at: number };
