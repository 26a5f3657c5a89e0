/**
 * Detects a deadlock of admission: a message waits to be admitted to its handler, and the runs that could make room
 * wait for this very message.
 */
import type { Clock } from "../ports/clock.ts";
import { type Dropped, QueueEntry } from "./admission_queue.ts";
import type { MessageContext } from "./message_context.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Outcome } from "./outcome.ts";

/**
 * Drops a waiting entry of a queue with `DEADLOCK` if every run that occupies a place of this queue waits for the entry
 * itself (then `held` returns true). `held` is asked when the entry enters, and again 100 ms later: the delay excludes
 * handlers that do not await what they send, and end within these 100 ms.
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

// Admission to a handler (a limited number of messages run at once): the functions that let a message run, and the
// entry of a message that waits for admission.

/** Runs the handler of a message that has been admitted. Never throws, never rejects. */
export type RunNow = () => MaybePromise<Outcome>;

/**
 * Runs a handler as soon as its message is admitted (has a place at the handler), or returns a `Refusal` (the handler
 * did not run). Never throws, never rejects.
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

  override start(): void {
    this.#ctx.execution.go();
    this.#then.start();
  }

  override drop(why: Dropped): void {
    this.#then.drop(why);
  }
}
