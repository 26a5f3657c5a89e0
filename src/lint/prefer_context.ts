/** `catga/prefer-context`: what a handler sends belongs to the message that it handles. */
import { inCatgaFiles, type SenderCall } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";
import { type FunctionNode, isFunction, parentOf } from "./scopes.ts";

/**
 * `app.send`, `sendAll`, `publish`, `broadcast` and `lock` in a handler, where the context's would carry on the deadline, the
 * cancellation and the trace, and tell a deadlock. What runs later than the handler (a timer's function, an event listener)
 * is no finding: there the context has ended.
 *
 * The fix puts the context in the app's place, when the handler names it.
 */
export const preferContext: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    return inCatgaFiles(context, (file) => {
      const handlers = new HandlerFunctions(file);
      const found: { call: Deno.lint.CallExpression; sent: SenderCall }[] = [];
      return {
        CallExpression(call): void {
          handlers.visit(call);
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
  },
};

const IN_PLACE = new Set(["map", "flatMap", "forEach", "filter", "find", "reduce", "some", "every"]);

/** The handler that a node runs in: the function around it, or one around functions that an array calls in place. */
function handlerOf(node: Deno.lint.Node, handlers: HandlerFunctions): FunctionNode | undefined {
  for (let at = parentOf(node); at !== undefined; at = parentOf(at)) {
    if (!isFunction(at)) continue;
    if (handlers.has(at)) return at;
    const { parent } = at;
    const called = parent.type === "CallExpression" && parent.callee.type === "MemberExpression" &&
      parent.callee.property;
    if (!called || called.type !== "Identifier" || !IN_PLACE.has(called.name)) return undefined;
  }
  return undefined;
}
