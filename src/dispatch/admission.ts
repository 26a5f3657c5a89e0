/**
 * Admission to a handler, which runs a limited number of messages at once: the functions that let a message run, the
 * entry of a message that waits for a place, and the detection of a deadlock: a message waits for a place, and the runs
 * that hold all these places wait for this very message. `admission_queue.ts` has the queue itself.
 */
import type { Clock } from "../ports/clock.ts";
import { type Dropped, QueueEntry } from "./admission_queue.ts";
import type { MessageContext } from "./message_context.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { Outcome } from "./outcome.ts";

/** Runs the handler of a message that has been admitted. Never throws, never rejects. */
export type RunNow = () => MaybePromise<Outcome>;

/**
 * Runs a handler as soon as its message is admitted (gets a place at the handler, which may be at once), and returns
 * its outcome; or returns a `Refusal`, which promises that the handler did not run. Never throws, never rejects.
 */
export type Admission = (ctx: MessageContext, run: RunNow) => MaybePromise<Outcome>;

/** A message that waits in an admission queue, until its own deadline at most. */
export class QueuedMessage extends QueueEntry {
  readonly #ctx: MessageContext;
  readonly #then: { start(): void; drop(why: Dropped): void };

  /**
   * `then`: when the message is admitted, `start` is called; if it leaves the queue without having run, `drop` is
   * called. Exactly one of the two is called, once.
   */
  constructor(ctx: MessageContext, clock: Clock, then: { start(): void; drop(why: Dropped): void }) {
    super(ctx.dueAt(clock.monotonic()));
    this.#ctx = ctx;
    this.#then = then;
  }

  /** True for an event that is not stored: a refusal would lose it. */
  override get isPatient(): boolean {
    const { kind, options } = this.#ctx.contract;
    return kind === "event" && !options.durable;
  }

  override start(): void {
    this.#ctx.execution.admitted();
    this.#then.start();
  }

  override drop(why: Dropped): void {
    this.#then.drop(why);
  }
}

/**
 * Drops a waiting entry of a queue with `DEADLOCK` if `held` returns true both now and 100 ms later. `held` has to
 * return true if every run that occupies a place of this queue waits for the entry itself. The second check spares
 * entries for which the runs do not wait, because their handlers sent it without awaiting it, and end within these 100
 * ms. `ancestry`: names of the runs that wait for the entry; if it is empty, there can be no deadlock.
 */
export function watchForDeadlock(
  clock: Clock,
  entry: QueueEntry,
  ancestry: readonly string[],
  held: () => boolean,
): void {
  // later checks are not needed: a run that does not wait for the entry now will end by itself, and a run that waits
  // for the entry cannot take a place that becomes free
  if (ancestry.length === 0 || entry.queue === undefined || !held()) return;
  const { queue } = entry;
  clock.after(DEADLOCK_DELAY, () => entry.queue === queue && held() && entry.quit("DEADLOCK"), { background: true });
}

/** Returns true if the handlers of all these messages are among the runs whose names are `runs`. */
export function areAmong(runs: readonly string[], messages: Iterable<MessageContext>): boolean {
  for (const { call } of messages) if (call === undefined || !runs.includes(call)) return false;
  return true;
}

/** Time that a deadlock has to last before it is reported, in ms; the deadlock detection of locks waits as long. */
export const DEADLOCK_DELAY = 100;
