/** How a message is admitted to its handler: the functions involved, and the entry of a message that waits for it. */
import type { MaybePromise } from "../contract/schema.ts";
import type { Clock } from "../ports/clock.ts";
import { type Dropped, QueueEntry } from "./admission_queue.ts";
import type { MessageContext } from "./message_context.ts";
import type { Outcome } from "./outcome.ts";

/** Runs the handler of a message that has been admitted. Never throws, never rejects. */
export type RunNow = () => MaybePromise<Outcome>;

/** Runs a handler when its message is admitted, or returns a `Refusal`. Never throws, never rejects. */
export type Admission = (ctx: MessageContext, run: RunNow) => MaybePromise<Outcome>;

/** A message that waits in an admission queue, until its own deadline at most. */
export class QueuedMessage extends QueueEntry {
  readonly #ctx: MessageContext;
  readonly #then: { start(): void; drop(why: Dropped): void };

  /** One of the two callbacks is called, once. */
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
