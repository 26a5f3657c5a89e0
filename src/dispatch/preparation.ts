/** What takes its time before a handler begins, a schema or a behavior: a message aborted meanwhile is not run. */
import { CatgaError } from "../error.ts";
import type { MessageContext } from "./message_context.ts";
import { type Outcome, Refusal } from "./outcome.ts";

/**
 * The outcome of `work`, which runs while the execution is `preparing`; that of {@link refusalOf} as soon as the message is aborted
 * before its handler has begun, for then the handler will not begin.
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

/**
 * The outcome of a message that was aborted before its handler began: a refusal. A message of the log whose time is over has failed: refused,
 * it would be run again without end, and what took its time is likely to take it again.
 */
export function refusalOf(ctx: MessageContext, { code }: CatgaError): Outcome {
  if (code !== "TIMEOUT" || ctx.position === undefined) {
    return new Refusal(code === "CLOSED" ? "DRAINING" : "LATE", ctx);
  }
  const { contract: { kind, name }, node } = ctx;
  const message =
    `${kind} ${name} did not run on node ${node}: a schema or behavior before its handler did not end within its timeout`;
  return { ok: false, error: new CatgaError("TIMEOUT", message, { node }) };
}
