/**
 * The messages of the nodes that the tests with real processes run, see `test_node.ts`.
 *
 * @module
 */
import { command, event, query } from "@catga/catga";

/** The two runtimes. */
export type Runtime = "deno" | "bun";

/** Who answered. */
export interface Identity {
  readonly id: string;
  readonly runtime: Runtime;
}

/** Answers who it is. */
export const Who = query<void, Identity>("Who");
/** Answers the sum. */
export const Add = query<{ a: number; b: number }, number>("Add");
/** Notes the entry in the node's file, and then answers with the node's id. */
export const Record = command<{ entry: string }, string>("Record");
/** As {@link Record}, and answers `ms` later. */
export const Slow = command<{ entry: string; ms: number }, string>("Slow");
/** Notes the entry and never answers. */
export const Hang = command<{ entry: string }, string>("Hang");
/** As {@link Slow}, but a query: it may run again on another node. */
export const Read = query<{ entry: string; ms?: number }, string>("Read");
/** As {@link Record}, and keeps the node's only thread busy for `ms` before it answers. */
export const Burn = command<{ entry: string; ms: number }, string>("Burn");
/** Notes the entry, and ends in a way that no handler should. */
export const Spoil = command<{ entry: string; how: Spoilt }, unknown>("Spoil");
/** Answers what the node's process holds, after a collection of garbage. */
export const Inspect = query<void, Holdings>("Inspect");
/** Has the node send {@link Add} to another one, `count` times, each with a timeout and all with one signal. */
export const Flood = command<{ to: string; count: number }, FloodReport>("Flood");
/** Notes the entry on every node. */
export const Note = command<{ entry: string }, string>("Note");
/** Notes the entry on one node of each service. */
export const Told = event<{ entry: string }>("Told");
/** Has the node send a mixed load to the others until {@link StopLoad}; answers its id. */
export const StartLoad = command<void, string>("StartLoad");
/** Ends the load, and answers what came of it. */
export const StopLoad = command<void, LoadReport>("StopLoad");

/**
 * An answer of 2 MB, one that refers to itself, a function, none at all because it throws. `bigint` spoils the answer
 * of an earlier version, which reads JSON only.
 */
export type Spoilt = "too large" | "cycle" | "function" | "bigint" | "throw";

/** What a node's process holds. */
export interface Holdings {
  /** Bytes on the heap. */
  readonly heap: number;
  /** The most memory that the process was seen to have since it was last asked, in bytes. */
  readonly peak: number;
}

/** What came of a {@link Flood}. */
export interface FloodReport {
  readonly failures: number;
  /** What the heap had grown by after each quarter, since a first one that nobody counts, in bytes. */
  readonly growth: readonly number[];
  /** Listeners that are left on the signal. */
  readonly listeners: number;
}

/** What came of a load. */
export interface LoadReport {
  /** Messages sent. */
  readonly sent: number;
  /** Those with a good answer. */
  readonly answered: number;
  /** Commands that may have run. */
  readonly unknown: number;
  /** Every other failure: a line each, with the message's name, the code and what it says. */
  readonly failures: readonly string[];
  /** The longest that one took, in ms. */
  readonly slowest: number;
}
