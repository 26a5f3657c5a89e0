/**
 * A message whose asynchronous handler has asked for nothing: its deadline, and what settles it. It takes a third of
 * the memory of an execution, which replaces it when it is first needed.
 */
import type { CatgaError } from "../error.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import type { Outcome } from "./outcome.ts";

/** The deadline of such a message. */
export class PendingMessage<Ctx extends PendingContext = PendingContext> extends Deadlined {
  /** `undefined` before it has begun, and when it has ended or was replaced. */
  settle: ((outcome: Outcome) => void) | undefined = undefined;
  /** Its message. */
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

/** Whose execution is made when it is first needed. */
interface PendingContext {
  readonly execution: Pick<Deadlined, "expire" | "abort">;
}
