/**
 * The failure `HANDLER_FAILED`, which a sender gets when a handler threw. The thrown error itself stays in the log of
 * the handler's node.
 */
import type { Context } from "./context.ts";
import type { AnyContract } from "./contract.ts";
import { CatgaError } from "../error.ts";

/** The function that threw: the handler of a message, or a behavior around it. */
export type Thrower = "handler" | "behavior";

/** Makes the failure `HANDLER_FAILED` of a message whose handler, or a behavior around it, threw `cause`. */
export function handlerFailure(contract: AnyContract, ctx: Context, cause: unknown, by: Thrower): CatgaError {
  return new CatgaError("HANDLER_FAILED", messageOf(contract, ctx, by), { cause, node: ctx.node });
}

/**
 * Returns true if the error says that this message's own handler threw; false if it says so of another handler, to
 * which this handler sent a message.
 */
export function isHandlerFailure({ code, message }: CatgaError, contract: AnyContract, ctx: Context): boolean {
  return code === "HANDLER_FAILED" &&
    (["handler", "behavior"] as const).some((by) => message === messageOf(contract, ctx, by));
}

function messageOf({ name }: AnyContract, ctx: Context, by: Thrower): string {
  const what = by === "handler" ? "the handler of" : "a behavior around";
  return `${what} ${name} threw on node ${ctx.node} (message ${ctx.id}); the cause is in the log of that node`;
}
