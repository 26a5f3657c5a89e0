/**
 * A message whose asynchronous handler has not used its context: its deadline, and the function that settles it. It
 * takes a third of the memory of an execution, which replaces it when an execution is first needed.
 */
import type { CatgaError } from "../error.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import type { Outcome } from "./outcome.ts";

/** The deadline of a pending message. */
export class PendingMessage<Ctx extends PendingContext = PendingContext> extends Deadlined {
  /** Settles the message; `undefined` before it has begun, and when it has ended or was replaced. */
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

/** A context whose execution is made when it is first needed. */
interface PendingContext {
  readonly execution: Pick<Deadlined, "expire" | "abort">;
}
