/**
 * What a local program is made of, ours or a peer's: twenty contracts, so that call sites are as they are in a program
 * and not as in a loop over one handler; each handler is a function of its own, and its payload and answer have shapes
 * of their own.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { answer } from "./answer.ts";

/** How many contracts are in use. */
export const CONTRACTS = 20;

/** How many sends a loop makes before it looks at the clock; a multiple of {@link CONTRACTS}. */
const LAP = 2_000;

/** How many sends are made between two looks at the heap. */
const SENDS = 10_000;

/** A message of one of the contracts. */
export type Message = Readonly<Record<string, number>>;

/** The handlers' names, their functions, and a payload for each. */
export interface Cast {
  readonly name: string;
  readonly handler: (message: Message) => unknown;
  readonly payload: Message;
}

/** Twenty handlers that give an object at once, or as `async` functions. */
export function cast(kind: "sync" | "async"): Cast[] {
  return Array.from({ length: CONTRACTS }, (_, at) => {
    const body = `(message) => ({ answer${at}: message.field${at} + ${at} })`;
    // one source text for all would be one function to the compiler, with one shape of what it makes
    const handler = new Function(`return ${kind === "async" ? "async " : ""}${body}`)() as Cast["handler"];
    return { name: `Contract${at}`, handler, payload: { [`field${at}`]: at } };
  });
}

/**
 * Makes so many sends, each awaited before the next, contract after contract. Written out by each program: a call more
 * would count.
 */
export type Laps = (sends: number) => Promise<void>;

/** ns for one send: laps for so many ms. */
async function time(laps: Laps, ms: number): Promise<number> {
  const start = performance.now();
  let sends = 0;
  let elapsed = 0;
  while (elapsed < ms) {
    await laps(LAP);
    sends += LAP;
    elapsed = performance.now() - start;
  }
  return elapsed / sends * 1e6;
}

/**
 * Bytes of heap that one send takes, before any of it is collected; `undefined` where the runtime does not say. The
 * program must have been started with a young generation that holds all of them.
 */
async function heapBytes(laps: Laps, ms: number): Promise<number | undefined> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined || process.versions.bun !== undefined) return undefined;
  await time(laps, ms); // until it is compiled as far as it gets
  const figures: number[] = [];
  for (let i = 0; i < 3; i++) {
    gc();
    const before = process.memoryUsage().heapUsed;
    await laps(SENDS);
    figures.push((process.memoryUsage().heapUsed - before) / SENDS);
  }
  return figures.sort((a, b) => a - b)[1];
}

/** Runs a local program. */
export function runLocal(laps: Laps): void {
  answer({
    time: ({ ms }: { ms: number }) => time(laps, ms),
    heap: async ({ ms }: { ms: number }) => await heapBytes(laps, ms) ?? null,
  });
}
