/** `catga/no-top-level-using`: `await using` at the top level of a module drains a server when the module has run. */
import { type CatgaFile, rule } from "./catga_file.ts";
import { functionsAround } from "./scopes.ts";

/**
 * Reports `await using app = await catga(…)` with `nats` or `signals` at the top level of a module that awaits nothing
 * after it: the app drains when the module has run, that is at once. With `signals`, a send of the app itself does not
 * count as awaiting. A script that sends and ends is not reported.
 *
 * The fix writes `const`.
 */
export const noTopLevelUsing: Deno.lint.Rule = rule((file, context) => {
  const apps: { declaration: Deno.lint.VariableDeclaration; signals: boolean }[] = [];
  /** Positions in the file at which the module awaits something; `own`: true for a send of the app itself. */
  const waits: { at: number; own: boolean }[] = [];
  const wait = (node: Deno.lint.Node, own: boolean) => {
    if (functionsAround(node).length === 0) waits.push({ at: node.range[0], own });
  };
  return {
    VariableDeclaration(declaration): void {
      if (declaration.kind !== "await using") return;
      const options = declaration.declarations.map(({ init }) => init && optionsOf(file, init)).find(Boolean);
      if (declaration.parent.type === "Program" && options && (has(options, "nats") || has(options, "signals"))) {
        apps.push({ declaration, signals: has(options, "signals") });
      }
    },
    AwaitExpression(node): void {
      const { argument } = node;
      wait(node, argument.type === "CallExpression" && file.senderCall(argument) !== undefined);
    },
    ForOfStatement(node): void {
      if (node.await) wait(node, false);
    },
    "Program:exit"(): void {
      for (const { declaration, signals } of apps) {
        const { range: [start, end] } = declaration;
        if (waits.some(({ at, own }) => at >= end && !(own && signals))) continue;
        const [words] = context.sourceCode.getText(declaration).match(/^await\s+using/) ?? [];
        context.report({
          node: declaration,
          message: "This app drains as soon as its module has run",
          hint: "Keep a server's app in a const; `signals: true` drains it when the process is told to stop",
          ...(words !== undefined && {
            fix: (fixer: Deno.lint.Fixer) => fixer.replaceTextRange([start, start + words.length], "const"),
          }),
        });
      }
    },
  };
});

/** Returns the object literal in `await catga({ … })`; `undefined`: another expression. */
function optionsOf(file: CatgaFile, init: Deno.lint.Expression): Deno.lint.ObjectExpression | undefined {
  if (init.type !== "AwaitExpression" || init.argument.type !== "CallExpression" || !file.isCatgaCall(init)) {
    return undefined;
  }
  const [options] = init.argument.arguments;
  return options?.type === "ObjectExpression" ? options : undefined;
}

/** Returns true if an object literal has this option with another value than the literals `false` and `undefined`. */
function has(options: Deno.lint.ObjectExpression, name: string): boolean {
  return options.properties.some((property) => {
    if (property.type !== "Property" || property.computed || property.key.type !== "Identifier") return false;
    if (property.key.name !== name) return false;
    const { value } = property;
    return !(value.type === "Literal" && value.value === false) &&
      !(value.type === "Identifier" && value.name === "undefined");
  });
}
