/**
 * `catga/idempotent-id`: an idempotent command is deduplicated by its message id, which must be the same when the
 * command is sent again.
 */
import { bare, type CatgaFile, methodCall, rule } from "./catga_file.ts";

/**
 * Reports a send of a command with `idempotent` that gets no `id`, neither from the contract nor from the options:
 * each such send has a new id, so that the command runs for each. Contracts of other files are not reported.
 */
export const idempotentId: Deno.lint.Rule = rule((file, context) => ({
  CallExpression(call): void {
    const method = file.senderCall(call)?.method;
    const [contract, , options] = call.arguments;
    if (method === undefined || contract === undefined || !needsId(file, contract)) return;
    // a send in the step of a workflow is not reported, because the step gives the command an id
    if (isOfFlow(call)) return;
    if (call.arguments.some(({ type }) => type === "SpreadElement")) return;
    if (method !== "sendAll" && mayHaveId(options)) return;
    const name = context.sourceCode.getText(contract);
    context.report({
      node: call,
      message: `${name} is idempotent, and this ${method} gives it a new id each time`,
      hint: "Give the contract an `id` function, or the send an `id`, so that the same command has the same id again",
    });
  },
}));

/** Returns true if a call is made on `flow`, the usual name of the first parameter of a workflow's handler. */
function isOfFlow(call: Deno.lint.CallExpression): boolean {
  const object = methodCall(call)?.object;
  return object?.type === "Identifier" && object.name === "flow";
}

/** Returns true if an expression refers to a contract of this file that is idempotent and makes no ids. */
function needsId(file: CatgaFile, expression: Deno.lint.Node): boolean {
  const options = file.definition(expression)?.arguments[1];
  if (options?.type !== "ObjectExpression" || mayHaveId(options)) return false;
  return options.properties.some((one) => {
    if (one.type !== "Property" || keyOf(one) !== "idempotent") return false;
    const value = bare(one.value);
    return value.type === "ObjectExpression" || (value.type === "Literal" && value.value === true);
  });
}

/** Returns true if a call's options may have an `id`: true for options that are not an object literal. */
function mayHaveId(given: Deno.lint.Node | undefined): boolean {
  if (given === undefined) return false;
  const options = bare(given);
  if (options.type === "Identifier" && options.name === "undefined") return false;
  if (options.type !== "ObjectExpression") return true;
  return options.properties.some((one) => one.type !== "Property" || one.computed || keyOf(one) === "id");
}

function keyOf({ key }: Deno.lint.Property): string | undefined {
  if (key.type === "Identifier") return key.name;
  return key.type === "Literal" && typeof key.value === "string" ? key.value : undefined;
}
