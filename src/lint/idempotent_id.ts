/** `catga/idempotent-id`: an idempotent command is deduplicated by its message id, which must be the same when it is sent again. */
import { bare, type CatgaFile, inCatgaFiles } from "./catga_file.ts";

/**
 * Reports a send of a command that is `idempotent` without an `id`, neither in the contract nor in the options: each such send has
 * a new id, and the command runs for each. Contracts of other files are not reported, nor sends of a workflow's `flow`.
 */
export const idempotentId: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    return inCatgaFiles(context, (file) => ({
      CallExpression(call): void {
        const method = file.senderCall(call)?.method;
        const [contract, , options] = call.arguments;
        if (method === undefined || contract === undefined || !needsId(file, contract)) return;
        // the step of a workflow gives it one
        if (isOfFlow(call)) return;
        if (call.arguments.some(({ type }) => type === "SpreadElement")) return;
        if (method !== "sendAll" && mayHave("id", options)) return;
        const name = context.sourceCode.getText(contract);
        context.report({
          node: call,
          message: `${name} is idempotent, and this ${method} gives it a new id each time`,
          hint:
            "Give the contract an `id` function, or the send an `id`, so that the same command has the same id again",
        });
      },
    }));
  },
};

/** Whether a call is one of `flow`, as the handlers of workflows call what they get. */
function isOfFlow({ callee }: Deno.lint.CallExpression): boolean {
  return callee.type === "MemberExpression" && callee.object.type === "Identifier" && callee.object.name === "flow";
}

/** Whether an expression is a contract of this file that is idempotent and makes no ids. */
function needsId(file: CatgaFile, expression: Deno.lint.Node): boolean {
  const options = file.definition(expression)?.arguments[1];
  if (options?.type !== "ObjectExpression" || mayHave("id", options)) return false;
  return options.properties.some((one) => {
    if (one.type !== "Property" || keyOf(one) !== "idempotent") return false;
    const value = bare(one.value);
    return value.type === "ObjectExpression" || (value.type === "Literal" && value.value === true);
  });
}

/** Whether options may have a property: an object that is not written out may. */
function mayHave(name: string, given: Deno.lint.Node | undefined): boolean {
  if (given === undefined) return false;
  const options = bare(given);
  if (options.type === "Identifier" && options.name === "undefined") return false;
  if (options.type !== "ObjectExpression") return true;
  return options.properties.some((one) => one.type !== "Property" || one.computed || keyOf(one) === name);
}

function keyOf({ key }: Deno.lint.Property): string | undefined {
  if (key.type === "Identifier") return key.name;
  return key.type === "Literal" && typeof key.value === "string" ? key.value : undefined;
}
