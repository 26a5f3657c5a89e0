/** `catga/no-blocking-handler`: while a handler blocks, its node answers nothing. */
import { type CatgaFile, inCatgaFiles, memberName } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";

/**
 * Reports calls in a handler that stop the event loop: `Deno.*Sync`, `Bun.*Sync`, `*Sync` of Node's modules, `outputSync` of a
 * `Deno.Command`, and `Atomics.wait`. Meanwhile the node answers no ping, renews no lock and reads no cancellation; after
 * half a second other nodes treat it as frozen.
 */
export const noBlockingHandler: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    return inCatgaFiles(context, (file) => {
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
  },
};

/** Modules of Node with functions that block. */
const BLOCKING_MODULES = /^(?:node:)?(?:fs|child_process|crypto|zlib)$/;
/** Functions that only fill existing memory: their asynchronous forms are no faster. */
const HARMLESS = new Set(["randomFillSync"]);

/** What to use instead of a call that blocks; `undefined` for one that does not. */
function insteadOf(file: CatgaFile, { callee }: Deno.lint.CallExpression): string | undefined {
  if (callee.type === "Identifier") {
    const binding = file.scopes.resolve(callee);
    return binding?.kind === "import" && BLOCKING_MODULES.test(binding.module) ? withoutSync(binding.name) : undefined;
  }
  if (callee.type !== "MemberExpression") return undefined;
  const { object } = callee;
  const name = memberName(callee) ?? "";
  if (object.type === "NewExpression") {
    const command = object.callee.type === "MemberExpression" && memberName(object.callee) === "Command" &&
      isGlobal(file, object.callee.object, "Deno");
    return command && name === "outputSync" ? "output" : undefined;
  }
  if (isGlobal(file, object, "Atomics")) return name === "wait" ? "Atomics.waitAsync" : undefined;
  if (isGlobal(file, object, "Deno") || isGlobal(file, object, "Bun")) return withoutSync(name);
  const binding = object.type === "Identifier" ? file.scopes.resolve(object) : undefined;
  if (binding?.kind !== "import" || !BLOCKING_MODULES.test(binding.module)) return undefined;
  return binding.name === "*" || binding.name === "default" ? withoutSync(name) : undefined;
}

function withoutSync(name: string): string | undefined {
  return name.endsWith("Sync") && !HARMLESS.has(name) ? name.slice(0, -"Sync".length) : undefined;
}

function isGlobal(file: CatgaFile, node: Deno.lint.Node, name: string): boolean {
  return node.type === "Identifier" && node.name === name && file.scopes.resolve(node) === undefined;
}
