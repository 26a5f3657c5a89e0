/**
 * The deadline of a message whose asynchronous handler runs and has not used its context. It takes a third of the
 * memory of an {@link Execution} (deadline, abort and locks of a message), which replaces it as soon as the context is
 * used.
 */
import type { CatgaError } from "../error.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import type { Outcome } from "./outcome.ts";

/** The deadline of a message whose handler has not used its context, and the function that settles the message. */
export class PendingMessage<Ctx extends PendingContext = PendingContext> extends Deadlined {
  /**
   * Passes the outcome to the sender; `undefined` before the handler has begun, when it has ended, and after an
   * {@link Execution} has replaced this object.
   */
  settle: ((outcome: Outcome) => void) | undefined = undefined;
  /** The context of the message. */
  ctx: Ctx | undefined = undefined;

  constructor() {
    super(0);
  }

  override expire(): void {
    this.ctx!.execution.expire();
  }

  override abort(reason: CatgaError): void {
    this.ctx!.execution.abort(reason);
  }
}

/**
 * A message's context, whose {@link Execution} (deadline, abort and locks) is made at the first reading of `execution`.
 */
interface PendingContext {
  readonly execution: Pick<Deadlined, "expire" | "abort">;
}
