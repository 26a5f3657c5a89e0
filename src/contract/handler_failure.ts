/** What a sender gets for a handler that threw: the thrown error itself stays in the log of the handler's node. */
import { CatgaError } from "../error.ts";
import type { Context } from "./context.ts";
import type { AnyContract } from "./contract.ts";

/** The failure of a handler that threw `cause`. */
export function handlerFailure(contract: AnyContract, ctx: Context, cause: unknown): CatgaError {
  return new CatgaError("HANDLER_FAILED", messageOf(contract, ctx), { cause, node: ctx.node });
}

/** Whether an error is the {@link handlerFailure} of this message's own handler, and not of one that it sent to. */
export function isHandlerFailure({ code, message }: CatgaError, contract: AnyContract, ctx: Context): boolean {
  return code === "HANDLER_FAILED" && message === messageOf(contract, ctx);
}

function messageOf({ name }: AnyContract, ctx: Context): string {
  return `the handler of ${name} threw on node ${ctx.node} (message ${ctx.id}); the log of that node says what`;
}
