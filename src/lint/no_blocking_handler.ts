/** `catga/no-blocking-handler`: a handler must not block, because its node answers no requests while it blocks. */
import { type CatgaFile, memberName, methodCall, rule } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";

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
