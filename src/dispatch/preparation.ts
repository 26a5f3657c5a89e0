/** What takes its time before a handler begins, a schema or a behavior: a message aborted meanwhile is refused. */
import type { CatgaError } from "../error.ts";
import type { MessageContext } from "./message_context.ts";
import { type Outcome, Refusal } from "./outcome.ts";

/**
 * The outcome of `work`, which runs while the execution is `preparing`; a refusal as soon as the message is aborted before its
 * handler has begun, for then the handler will not begin.
 */
export function orRefusal(ctx: MessageContext, work: Promise<Outcome>): Promise<Outcome> {
  const { execution } = ctx;
  if (execution.aborted !== undefined && execution.preparing) return Promise.resolve(refusalOf(ctx, execution.aborted));
  return new Promise((resolve) => {
    // not Execution.until(): every message with a behavior passes here, and the object that it makes takes twice as long
    execution.drop = (reason) => resolve(refusalOf(ctx, reason));
    work.then(resolve);
  });
}

/** The refusal of a message that was aborted before its handler began. */
export function refusalOf(ctx: MessageContext, { code }: CatgaError): Refusal {
  return new Refusal(code === "CLOSED" ? "DRAINING" : "LATE", ctx);
}
