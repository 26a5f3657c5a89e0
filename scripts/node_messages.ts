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
/** Notes the entry on every node. */
export const Note = command<{ entry: string }, string>("Note");
/** Notes the entry on one node of each service. */
export const Told = event<{ entry: string }>("Told");
/** Has the node send a mixed load to the others until {@link StopLoad}; answers its id. */
export const StartLoad = command<void, string>("StartLoad");
/** Ends the load, and answers what came of it. */
export const StopLoad = command<void, LoadReport>("StopLoad");

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
