/**
 * `catga/no-busy-loop`: a handler must not loop without `await`, because that keeps all other handlers from running.
 */
import { type CatgaFile, methodCall, rule } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";
import { isFunction, parentOf } from "./scopes.ts";

type Loop = Deno.lint.WhileStatement | Deno.lint.DoWhileStatement | Deno.lint.ForStatement;

/**
 * Reports loops in a handler that stop the event loop: without `await`, and either endless (`while (true)` without
 * `break`, `return` or `throw`) or until a certain time (`while (Date.now() < end)`).
 */
export const noBusyLoop: Deno.lint.Rule = rule((file, context) => {
  const handlers = new HandlerFunctions(file);
  const endless: Loop[] = [];
  const clocked: Loop[] = [];
  const waits = new Set<Loop>();
  const ends = new Set<Loop>();
  const mark = (loops: Set<Loop>) => (node: Deno.lint.Node) => loopsAround(node).forEach((loop) => loops.add(loop));
  const loop = (node: Loop): void => {
    if (isEndless(node)) endless.push(node);
  };
  return {
    CallExpression(call): void {
      handlers.visit(call);
      const loop = readsClock(file, call) ? decidedBy(call) : undefined;
      if (loop !== undefined) clocked.push(loop);
    },
    WhileStatement: loop,
    DoWhileStatement: loop,
    ForStatement: loop,
    AwaitExpression: mark(waits),
    YieldExpression: mark(waits),
    ForOfStatement(node): void {
      if (node.await) mark(waits)(node);
    },
    VariableDeclaration(node): void {
      if (node.kind === "await using") mark(waits)(node);
    },
    BreakStatement: mark(ends),
    ReturnStatement: mark(ends),
    ThrowStatement: mark(ends),
    "Program:exit"(): void {
      const busy = new Set([...clocked, ...endless.filter((loop) => !ends.has(loop))]);
      for (const node of busy) {
        if (waits.has(node) || !handlers.contain(node)) continue;
        context.report({
          node,
          message: "This loop stops the event loop in a handler: there is no await in it",
          hint: "Await the thing that it waits for, or a timer",
        });
      }
    },
  };
});

/** Returns the loops around a syntax node, within its function. */
function loopsAround(node: Deno.lint.Node): Loop[] {
  const loops: Loop[] = [];
  for (let at = parentOf(node); at !== undefined && !isFunction(at); at = parentOf(at)) if (isLoop(at)) loops.push(at);
  return loops;
}

/**
 * Returns the loop that a call of the clock can end: the call is in the loop's test, or in the test of an `if` that
 * leaves the loop. `undefined`: none.
 */
function decidedBy(call: Deno.lint.CallExpression): Loop | undefined {
  let leaves = false;
  let child: Deno.lint.Node = call;
  for (let at = parentOf(call); at !== undefined && !isFunction(at); child = at, at = parentOf(at)) {
    if (isLoop(at)) return at.test === child || (leaves && isEndless(at)) ? at : undefined;
    if (at.type === "IfStatement" && at.test === child && isExit(at.consequent)) leaves = true;
  }
  return undefined;
}

function isLoop(node: Deno.lint.Node): node is Loop {
  return node.type === "WhileStatement" || node.type === "DoWhileStatement" || node.type === "ForStatement";
}

function isEndless({ test }: Loop): boolean {
  return test === null || (test.type === "Literal" && Boolean(test.value));
}

function isExit(statement: Deno.lint.Statement): boolean {
  if (statement.type === "BlockStatement") return statement.body.some(isExit);
  return statement.type === "BreakStatement" || statement.type === "ReturnStatement";
}

function readsClock({ scopes }: CatgaFile, call: Deno.lint.CallExpression): boolean {
  const { object, method } = methodCall(call) ?? {};
  return object !== undefined && method === "now" && scopes.isGlobal(object, "Date", "performance");
}
