/**
 * `catga/no-floating`: a send must be awaited. Otherwise it may outlive its handler, its lock and its app; and a
 * sleep delays nothing.
 */
import { bare, rule } from "./catga_file.ts";
import { mayAwait } from "./scopes.ts";

/**
 * Reports a `send`, `publish`, `enqueue`, `lock` or `start` of an app or a context, a write into its cache, a sleep of
 * its clock, or a `step`, `send`, `sleep` or `wait` of a workflow, and their other methods with effects, if the call is
 * not awaited, returned or assigned. Then no code waits for it or learns of its failure, and its rejection is
 * unhandled. `void` before the call shows that this is intended.
 *
 * The fix awaits `publish` and `sleep` where `await` is allowed; the other methods return a value that the author has
 * to check.
 * @decides a promise that nobody awaits
 */
export const noFloating: Deno.lint.Rule = rule((file, context) => ({
  ExpressionStatement({ expression }): void {
    for (const call of callsIn(expression)) {
      const method = file.awaitedMethod(call);
      if (method === undefined) continue;
      const fixable = (method === "publish" || method === "sleep") && bare(expression) === call && mayAwait(call);
      context.report({
        node: call,
        message: `Nobody waits for this ${context.sourceCode.getText(call.callee)}`,
        hint: "Await it or return it; write `void …` when it may be cut off",
        ...(fixable && { fix: (fixer: Deno.lint.Fixer) => fixer.insertTextBefore(expression, "await ") }),
      });
    }
  },
}));

/** Returns the calls whose value may become the value of an expression. */
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
