/** `catga/no-floating`: a send that is not awaited outlives its handler, its lock and its app. */
import { bare, inCatgaFiles } from "./catga_file.ts";
import { mayAwait } from "./scopes.ts";

/**
 * Reports a `send`, `sendAll`, `publish`, `broadcast` or `lock` that is neither awaited, returned nor assigned. It is cancelled
 * when the handler ends or the app drains, and its rejection is unhandled. `void` before it says that this is meant.
 *
 * The fix awaits `publish` where `await` is allowed; the others return a value that the author has to look at.
 */
export const noFloating: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    return inCatgaFiles(context, (file) => ({
      ExpressionStatement({ expression }): void {
        for (const call of callsIn(expression)) {
          const method = file.senderCall(call)?.method;
          if (method === undefined) continue;
          const fixable = method === "publish" && bare(expression) === call && mayAwait(call);
          context.report({
            node: call,
            message: `Nobody waits for this ${context.sourceCode.getText(call.callee)}`,
            hint: "Await it or return it; write `void …` when it may be cut off",
            ...(fixable && { fix: (fixer: Deno.lint.Fixer) => fixer.insertTextBefore(expression, "await ") }),
          });
        }
      },
    }));
  },
};

/** The calls whose value may be that of an expression. */
function callsIn(expression: Deno.lint.Node): Deno.lint.CallExpression[] {
  const node = bare(expression);
  switch (node.type) {
    case "CallExpression":
      return [node];
    case "LogicalExpression":
      return callsIn(node.right);
    case "ConditionalExpression":
      return [...callsIn(node.consequent), ...callsIn(node.alternate)];
    case "SequenceExpression":
      return node.expressions.flatMap(callsIn);
    default:
      return [];
  }
}
