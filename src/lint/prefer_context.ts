/**
 * `catga/prefer-context`: a handler must send with its context, so that its sends belong to the message that it
 * handles.
 */
import { methodCall, rule, type SenderCall } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";
import { type FunctionNode, isFunction, parentOf } from "./scopes.ts";

/**
 * Reports `app.send`, `sendAll`, `publish`, `broadcast` and `lock` in a handler: the context's methods pass on the
 * deadline, the cancellation and the trace, and detect deadlocks. Code that runs later than the handler (the callback
 * of a timer, an event listener) is not reported, because the context has ended by then.
 *
 * The fix replaces the app by the context, if the handler has a parameter for it.
 * @decides `app` in a handler instead of `ctx`
 */
export const preferContext: Deno.lint.Rule = rule((file, context) => {
  const handlers = new HandlerFunctions(file);
  const found: { call: Deno.lint.CallExpression; sent: SenderCall }[] = [];
  return {
    CallExpression(call): void {
      if (!file.handlerCall(call)?.isWorkflow) handlers.visit(call);
      const sent = file.senderCall(call);
      if (sent?.is === "app") found.push({ call, sent });
    },
    "Program:exit"(): void {
      for (const { call, sent: { sender, method } } of found) {
        const handler = handlerOf(call, handlers);
        if (handler === undefined) continue;
        const [, own] = handler.params;
        const name = own?.type === "Identifier" ? own.name : undefined;
        const read = name === undefined ? undefined : file.scopes.lookUp(name, call);
        const fixable = read?.kind === "parameter" && read.id === own;
        context.report({
          node: call,
          message: `${context.sourceCode.getText(sender)}.${method} in a handler loses its deadline and its trace`,
          hint: `Use ${method} of the handler's context, its second parameter`,
          ...(name !== undefined && fixable &&
            { fix: (fixer: Deno.lint.Fixer) => fixer.replaceText(sender, name) }),
        });
      }
    },
  };
});

const IN_PLACE = new Set(["map", "flatMap", "forEach", "filter", "find", "reduce", "some", "every"]);

/**
 * Returns the handler in which a syntax node runs: the function around it, or around the callbacks of array methods
 * that contain it; `undefined`: none.
 */
function handlerOf(node: Deno.lint.Node, handlers: HandlerFunctions): FunctionNode | undefined {
  for (let at = parentOf(node); at !== undefined; at = parentOf(at)) {
    if (!isFunction(at)) continue;
    if (handlers.has(at)) return at;
    const { parent } = at;
    if (parent.type !== "CallExpression" || !IN_PLACE.has(methodCall(parent)?.method ?? "")) return undefined;
  }
  return undefined;
}
