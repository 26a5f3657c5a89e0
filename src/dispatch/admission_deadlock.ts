/** Detects a message whose admission waits for runs that themselves wait for this message. */
import type { Clock } from "../ports/clock.ts";
import { type Dropped, QueueEntry } from "./admission_queue.ts";
import type { MessageContext } from "./message_context.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Outcome } from "./outcome.ts";

/**
 * Drops an entry with `DEADLOCK` if every run that holds a place in its queue waits for the entry (`held`): when the
 * entry enters, and still 100 ms later. The delay excludes handlers that send without awaiting, and end meanwhile.
 */
export function watchForDeadlock(
  clock: Clock,
  entry: QueueEntry,
  ancestry: readonly string[],
  held: () => boolean,
): void {
  // checked on entry alone: any other run that holds a place will end, and a run that waits for the entry gains no
  // place
  if (ancestry.length === 0 || entry.queue === undefined || !held()) return;
  const { queue } = entry;
  clock.after(DEADLOCK_DELAY, () => entry.queue === queue && held() && entry.quit("DEADLOCK"), { background: true });
}

/** Returns true if each of these messages is handled by one of these runs. */
export function areAmong(runs: readonly string[], messages: Iterable<MessageContext>): boolean {
  for (const { call } of messages) if (call === undefined || !runs.includes(call)) return false;
  return true;
}

/** Time that a deadlock has to last before it is reported, in ms; the deadlock detection of locks waits as long. */
export const DEADLOCK_DELAY = 100;

// How a message is admitted to its handler: the functions involved, and the entry of a message that waits for
// admission.

/** Runs the handler of a message that has been admitted. Never throws, never rejects. */
export type RunNow = () => MaybePromise<Outcome>;

/** Runs a handler when its message is admitted, or returns a `Refusal`. Never throws, never rejects. */
export type Admission = (ctx: MessageContext, run: RunNow) => MaybePromise<Outcome>;

/** A message that waits in an admission queue, until its own deadline at most. */
export class QueuedMessage extends QueueEntry {
  readonly #ctx: MessageContext;
  readonly #then: { start(): void; drop(why: Dropped): void };

  /** `then`: one of its two functions is called, once. */
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
