/** `catga/no-blocking-handler`: a handler must not block, because its node answers no requests while it blocks. */
import { type CatgaFile, memberName, methodCall, rule } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";
import { isFunction, parentOf } from "./scopes.ts";

/**
 * Reports calls in a handler that stop the event loop: `Deno.*Sync`, `Bun.*Sync`, `*Sync` of Node's modules,
 * `outputSync` of a `Deno.Command`, and `Atomics.wait`. While the event loop is stopped, the node answers no ping,
 * renews no lock and reads no cancellation; after half a second other nodes treat it as frozen.
 */
export const noBlockingHandler: Deno.lint.Rule = rule((file, context) => {
  const handlers = new HandlerFunctions(file);
  const found: { call: Deno.lint.CallExpression; instead: string }[] = [];
  return {
    CallExpression(call): void {
      handlers.visit(call);
      const instead = insteadOf(file, call);
      if (instead !== undefined) found.push({ call, instead });
    },
    "Program:exit"(): void {
      for (const { call, instead } of found) {
        if (!handlers.contain(call)) continue;
        context.report({
          node: call,
          message: `${context.sourceCode.getText(call.callee)} stops the event loop in a handler`,
          hint: `Use ${instead}, and await it; what takes the processor itself belongs into a worker`,
        });
      }
    },
  };
});

/** Names of Node's modules that have functions which block. */
const BLOCKING_MODULES = /^(?:node:)?(?:fs|child_process|crypto|zlib)$/;
/**
 * Functions named `*Sync` that only fill existing memory: their asynchronous forms are no faster, so they are not
 * reported.
 */
const HARMLESS = new Set(["randomFillSync"]);

/** Returns the name of a function to use instead of a call that blocks; `undefined` if the call does not block. */
function insteadOf({ scopes }: CatgaFile, call: Deno.lint.CallExpression): string | undefined {
  const { callee } = call;
  if (callee.type === "Identifier") {
    const binding = scopes.resolve(callee);
    return binding?.kind === "import" && BLOCKING_MODULES.test(binding.module) ? withoutSync(binding.name) : undefined;
  }
  const { object, method = "" } = methodCall(call) ?? {};
  if (object === undefined) return undefined;
  if (object.type === "NewExpression") {
    const command = object.callee.type === "MemberExpression" && memberName(object.callee) === "Command" &&
      scopes.isGlobal(object.callee.object, "Deno");
    return command && method === "outputSync" ? "output" : undefined;
  }
  if (scopes.isGlobal(object, "Atomics")) return method === "wait" ? "Atomics.waitAsync" : undefined;
  if (scopes.isGlobal(object, "Deno", "Bun")) return withoutSync(method);
  const binding = object.type === "Identifier" ? scopes.resolve(object) : undefined;
  if (binding?.kind !== "import" || !BLOCKING_MODULES.test(binding.module)) return undefined;
  return binding.name === "*" || binding.name === "default" ? withoutSync(method) : undefined;
}

function withoutSync(name: string): string | undefined {
  return name.endsWith("Sync") && !HARMLESS.has(name) ? name.slice(0, -"Sync".length) : undefined;
}

// `catga/no-busy-loop`: a handler must not loop without `await`, because that keeps all other handlers from running.

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
