/**
 * Repeats an operation on a store or a server that has failed for a time. There is one loop. Why somebody repeats
 * decides the pauses and the end: {@link reading} what somebody waits for, {@link untilDone} for what has to happen at
 * some time, {@link election} at a start. A loop that does something else between two attempts has its own body, and
 * takes its pauses from {@link PAUSES}.
 *
 * @decides when an operation that has failed is done again, and after which pause
 */
import { type CatgaError, isCatgaError } from "../error.ts";
import { backoff, type Clock, delay, doubled, type Random } from "./clock.ts";

/** Pauses between attempts: the first one, each twice as long as the one before, and the longest, in ms. */
export type Pauses = readonly [first: number, longest: number];

/** The pauses, by the reason why something is repeated. */
export const PAUSES = {
  /** Somebody waits for it, usually for a leader that the servers elect: soon again, then twice a second. */
  read: [5, 500],
  /** For work that nobody waits for, and that may take minutes: rarely, not to load a store that is just back. */
  background: [50, 2_000],
  /** All nodes lose it at the same moment, and each makes it again: the pauses are random. */
  watch: [20, 2_000],
  /** All nodes start at the same moment: the pauses are random. */
  election: [40, 500],
  /** Nodes compete for it, with their first attempts at the same moment: the pauses are random. */
  claim: [50, 1_000],
  /** A server has refused it, or fails for long: most often only an operator can change that. */
  refused: [1_000, 30_000],
} as const satisfies Record<string, Pauses>;

/** When {@link repeat} repeats its operation. */
export interface RepeatOptions {
  readonly pauses: Pauses;
  /** If set, each pause is random, from 0 to its full length: for what many nodes repeat at the same time. */
  readonly random?: Random;
  /** Resolves after a pause of `ms`; its rejection ends everything. */
  pause(ms: number): Promise<void>;
  /** Returns true if another attempt may help against this error. */
  isTransient(error: unknown): boolean;
  /** Returns true if no attempt is wanted any more `ms` from now. */
  isOver?(ms: number): boolean;
  /** Once it has aborted, an attempt rejects with its reason, also one that has succeeded meanwhile. */
  readonly signal?: AbortSignal;
}

/**
 * Calls `work` until it succeeds, with growing pauses. Rejects with its last error if another attempt would not help or
 * is not wanted.
 */
export async function repeat<T>(
  work: () => Promise<T>,
  { pauses: [first, longest], random, pause, isTransient, isOver, signal }: RepeatOptions,
): Promise<T> {
  for (let failures = 0;; failures++) {
    try {
      const done = await work();
      signal?.throwIfAborted();
      return done;
    } catch (error) {
      signal?.throwIfAborted();
      const ms = random === undefined ? doubled(failures, first, longest) : backoff(random, failures, first, longest);
      if (!isTransient(error) || isOver?.(ms)) throw error;
      await pause(ms);
      if (isOver?.(0)) throw error;
    }
  }
}

/** Like {@link repeat}, but resolves with `undefined` when no attempt is wanted any more, also before the first one. */
export async function repeatUnless<T>(
  isOver: () => boolean,
  work: () => Promise<T>,
  options: Omit<RepeatOptions, "isOver">,
): Promise<T | undefined> {
  if (isOver()) return undefined;
  let isTransient = false;
  try {
    return await repeat(work, {
      ...options,
      isTransient: (error) => isTransient = options.isTransient(error),
      isOver,
    });
  } catch (error) {
    if (isTransient && isOver()) return undefined;
    throw error;
  }
}

/** Returns true after `UNAVAILABLE` that another attempt may help against, as while servers elect a leader. */
export function passes(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE" && error.retryable;
}

/**
 * Options for a read that somebody waits for, because the election of a leader may take longer than one read waits.
 * `isOver`: gets the next pause, and returns true if no answer is needed after it.
 */
export function reading(clock: Clock, isOver: (ms: number) => boolean): RepeatOptions {
  return { pauses: PAUSES.read, pause: (ms) => delay(clock, ms), isTransient: passes, isOver };
}

/** Options for what has to happen at some time: repeats after each error of the store, until the signal aborts. */
export function untilDone(
  { clock, signal, fault }: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly fault: (error: CatgaError) => void;
  },
): RepeatOptions {
  return {
    pauses: PAUSES.background,
    pause: (ms) => delay(clock, ms, signal),
    signal,
    isTransient: (error) => {
      if (!isCatgaError(error)) return false;
      fault(error);
      return true;
    },
  };
}

/**
 * Options for work that may be done twice, while a node starts: the last attempt begins at most 15 s from now. A pause
 * rejects with the signal's reason.
 */
export function election(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  signal: AbortSignal,
): RepeatOptions {
  const end = clock.monotonic() + ELECTION;
  return {
    pauses: PAUSES.election,
    random,
    pause: (ms) => delay(clock, ms, signal),
    isTransient: (error) => passes(error) && clock.monotonic() < end,
  };
}

/**
 * Time for which a store of three servers may be without a leader, in ms: 10 s, and up to 15 s were seen on busy
 * machines.
 */
const ELECTION = 15_000;
