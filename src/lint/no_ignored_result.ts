/**
 * `catga/no-ignored-result`: the result of a send must be used, and a handler must return its `fail`, because a failure
 * is reported there and nowhere else.
 */
import { bare, type CatgaFile, methodCall, rule } from "./catga_file.ts";
import { isFunction } from "./scopes.ts";

/**
 * Reports a `send`, `sendAll`, `enqueue`, `start`, `tell`, `ask`, `complete` or `cancel` that is awaited and whose
 * result is not used, also several in `Promise.all`. These methods do not throw for failures in operation, so that the
 * failure is lost. `void` before `await` shows that this is intended. Also reports a `fail` that is a statement: it
 * ends nothing, and the handler succeeds.
 */
export const noIgnoredResult: Deno.lint.Rule = rule((file, context) => ({
  ExpressionStatement({ expression }): void {
    const waiting = bare(expression);
    if (waiting.type === "CallExpression" && file.exportOf(waiting.callee) === "fail") {
      const message = "This fail is not returned: it ends nothing, and its sender does not get it";
      context.report({ node: waiting, message, hint: "Write `return fail(…)`" });
    }
    if (waiting.type !== "AwaitExpression") return;
    const send = sendIn(file, waiting.argument);
    if (send === undefined) return;
    context.report({
      node: waiting,
      message: `The result of ${context.sourceCode.getText(send.callee)} is dropped, and with it what went wrong`,
      hint: "Look at result.ok, let unwrap(…) throw the error, or write `void await …` when it does not matter",
    });
  },
}));

/** Returns the send whose result is the value of an expression, alone or in `Promise.all`; `undefined`: none. */
function sendIn(file: CatgaFile, expression: Deno.lint.Node): Deno.lint.CallExpression | undefined {
  const call = bare(expression);
  if (call.type !== "CallExpression") return undefined;
  const method = file.senderCall(call)?.method;
  if (method === "send" || method === "sendAll" || WITH_RESULT.has(file.awaitedMethod(call) ?? "")) return call;
  if (!isPromiseAll(file, call)) return undefined;
  const [list] = call.arguments;
  if (list?.type === "ArrayExpression") return list.elements.map((each) => sendIn(file, each)).find(Boolean);
  return list?.type === "CallExpression" ? sendInMap(file, list) : undefined;
}

/** Returns the send in `list.map((one) => app.send(…))`; `undefined`: another call. */
function sendInMap(file: CatgaFile, call: Deno.lint.CallExpression): Deno.lint.CallExpression | undefined {
  const { arguments: [fn] } = call;
  if (methodCall(call)?.method !== "map" || fn === undefined) return undefined;
  return isFunction(fn) && fn.body !== null && fn.body.type !== "BlockStatement" ? sendIn(file, fn.body) : undefined;
}

/** Further methods whose result may be a failure. */
const WITH_RESULT: ReadonlySet<string> = new Set(["enqueue", "start", "tell", "ask", "complete", "cancel"]);

function isPromiseAll({ scopes }: CatgaFile, call: Deno.lint.CallExpression): boolean {
  const { object, method = "" } = methodCall(call) ?? {};
  return object !== undefined && /^all(Settled)?$/.test(method) && scopes.isGlobal(object, "Promise");
}
