/**
 * The messages of a soak, and what the processes of one print. Every message carries its number: the `n`th send of
 * client `c` of `clients` has the number `n * clients + c`, so that the records of a million messages fit into arrays.
 *
 * @module
 */
import process from "node:process";
import { command, event, query } from "@catga/catga";
import { trueNow } from "../processes/skewed_clock.ts";

/** What a handler is asked to do: its number, and how long it takes, in ms; 0: no turn of the event loop. */
export interface Work {
  readonly n: number;
  readonly ms: number;
}

/** Answers {@link answerTo}, or fails with `ODD`. */
export const Write = command<Work, number>("Write", { key });
/** Sends an {@link Inner} to another node, and returns its result: `ok`, or the code. */
export const Relay = command<Work, string>("Relay", { key });
/** Sent by a {@link Relay} alone. */
export const Inner = command<Work, number>("Inner");
/** Answers {@link answerTo}. */
export const Read = query<Work, number>("Read", { key });
/** Each of the services gets it once. */
export const Told = event<{ n: number }>("Told");
/** The endpoints of the nodes that are seen. */
export const View = query<void, string[]>("View");

/** The right answer. */
export function answerTo(n: number): number {
  return Math.imul(n, 0x9e3779b1) >>> 0;
}

/** Returns true if a {@link Write} fails with `ODD`, which is an answer as well. */
export function isOdd(n: number): boolean {
  return n % 50 === 49;
}

/** Messages as they stand in the logs. */
export type Letter = "W" | "R" | "I" | "Q" | "E";

/** The services that nodes are replicas of; each subscribes {@link Told}. */
export const SERVICES = ["left", "right"] as const;

/** What a client counts, from its start on. */
export interface Sums {
  readonly sent: number;
  readonly settled: number;
  /** Those of them that had an answer. */
  readonly answered: number;
}

/** A line that a process of a soak prints; `at` is in ms since 1970. */
export type SoakLine =
  | { readonly event: "ready"; readonly at: number; readonly endpoint: string }
  /** Once a second; memory in bytes. */
  | {
    readonly event: "stat";
    readonly at: number;
    readonly rss: number;
    /** What the heap holds, dead objects included. */
    readonly heap: number;
    readonly sums?: Sums | undefined;
  }
  /** A client's sends have settled, or never will. */
  | { readonly event: "done"; readonly at: number; readonly sums: Sums };

/** Tells every second how much memory this process takes. */
export function tellMemory(sums: () => Sums | undefined = () => undefined): void {
  setInterval(() => {
    const { rss, heapUsed: heap } = process.memoryUsage();
    tell({ event: "stat", at: trueNow(), rss, heap, sums: sums() });
  }, 1_000).unref();
}

/** Prints a line for the process that started this one. */
export function tell(line: SoakLine): void {
  console.log(JSON.stringify(line));
}

function key({ n }: Work): string {
  return String(n % 100);
}
