/**
 * `catga/no-wait-race`: a `flow.wait` in a `Promise.race` needs a `signal`, with which the handler gives it up when it
 * loses. Otherwise it stays, and takes a later signal, which nobody sees although it was told `ok`.
 */
import { bare, type CatgaFile, methodCall, rule } from "./catga_file.ts";

/**
 * Reports a `flow.wait` without the option `signal` in the list of a `Promise.race` or `Promise.any`. A wait for a time
 * needs no race, because it has a `timeout`; nor does one for several signals, because `flow.wait` takes a list.
 * @decides a wait that may lose a race and take a later signal
 */
export const noWaitRace: Deno.lint.Rule = rule((file, context) => ({
  CallExpression(call): void {
    for (const wait of racing(call).flatMap((element) => waitIn(file, element) ?? [])) {
      const [, options] = wait.arguments;
      if (options !== undefined && mayHaveSignal(options)) continue;
      context.report({
        node: wait,
        message: "If this wait loses its race, it takes a later signal, which nobody sees",
        hint:
          "Use its option timeout, or one wait for a list of signals; or give it a signal, and abort that afterwards",
      });
    }
  },
}));

/** Returns what races in `Promise.race([…])` or `Promise.any([…])`; empty for another call. */
function racing(call: Deno.lint.CallExpression): readonly Deno.lint.Node[] {
  const { object, method = "" } = methodCall(call) ?? {};
  const [list] = call.arguments;
  const isRace = object?.type === "Identifier" && object.name === "Promise" && (method === "race" || method === "any");
  return isRace && list?.type === "ArrayExpression" ? list.elements.filter((element) => element !== null) : [];
}

/** Returns the `flow.wait(…)` of an expression, also one with `.then(…)` and the like behind it. */
function waitIn(file: CatgaFile, expression: Deno.lint.Node): Deno.lint.CallExpression | undefined {
  const call = bare(expression);
  if (call.type !== "CallExpression") return undefined;
  if (file.awaitedMethod(call) === "wait") return call;
  const { object, method = "" } = methodCall(call) ?? {};
  return object !== undefined && CHAINED.has(method) ? waitIn(file, object) : undefined;
}

/** Returns false if options are an object whose members are known, and `signal` is not one of them. */
function mayHaveSignal(options: Deno.lint.Node): boolean {
  const object = bare(options);
  if (object.type !== "ObjectExpression") return true;
  return object.properties.some((property) =>
    property.type !== "Property" || property.computed ||
    (property.key.type === "Identifier" ? property.key.name : undefined) === "signal"
  );
}

const CHAINED: ReadonlySet<string> = new Set(["then", "catch", "finally"]);
