/** `catga/lock-using`: a lock is released at the end of a block, by `await using`. */
import { type CatgaFile, memberName, rule } from "./catga_file.ts";
import { functionsAround, isFunction, isReference, parentOf } from "./scopes.ts";

/**
 * Reports a lock of an app or a context that is never released: it is not assigned, or only its `token` and `signal`
 * are read. A lock that is released by hand, returned or passed on is not reported. An unreleased lock of an app is
 * held until the app stops, a lock of a context until the handler ends.
 *
 * The fix writes `await using` for a constant at the top level of a function or of the module: there the lock is held
 * as long as any code can use it.
 */
export const lockUsing: Deno.lint.Rule = rule((file, context) => {
  const kept: Deno.lint.VariableDeclarator[] = [];
  const references: Deno.lint.Identifier[] = [];
  const hint = "Write `await using lock = await …`: it is released at the end of the block, also when that throws";
  return {
    CallExpression(call): void {
      const sent = file.senderCall(call);
      if (sent?.method !== "lock" || call.parent.type !== "AwaitExpression") return;
      const { parent } = call.parent;
      if (parent.type === "ExpressionStatement") {
        const until = sent.is === "app" ? "the app stops" : "the handler ends";
        context.report({ node: call, message: `This lock is dropped, and held until ${until}`, hint });
      } else if (parent.type === "VariableDeclarator" && parent.id.type === "Identifier") {
        if (!parent.parent.kind.endsWith("using")) kept.push(parent);
      }
    },
    Identifier(identifier): void {
      if (isReference(identifier)) references.push(identifier);
    },
    "Program:exit"(): void {
      for (const declarator of kept) {
        const id = declarator.id as Deno.lint.Identifier; // cast: `kept` has only declarators of identifiers
        const uses = references.filter((reference) => file.refersTo(reference, declarator));
        if (!uses.every(isLook)) continue;
        const message = `Nothing releases the lock ${id.name}`;
        const fix = usingInstead(declarator);
        context.report({ node: declarator, message, hint, ...(fix && { fix }) });
      }
    },
  };
});

/** Returns true if an identifier is only looked at, as in `lock.token` or `lock.signal`. */
function isLook(identifier: Deno.lint.Identifier): boolean {
  const { parent } = identifier;
  if (parent.type !== "MemberExpression" || parent.object !== identifier) return false;
  const name = memberName(parent);
  return name === "token" || name === "signal";
}

function usingInstead(declarator: Deno.lint.VariableDeclarator): Deno.lint.ReportData["fix"] {
  const { kind, declarations, range: [start], parent } = declarator.parent;
  const block = parent.type === "BlockStatement" ? parentOf(parent) : parent;
  const atTop = block?.type === "Program" || (block !== undefined && isFunction(block));
  if (!atTop || kind !== "const" || declarations.length > 1) return undefined;
  return (fixer) => fixer.replaceTextRange([start, start + kind.length], "await using");
}

// `catga/no-top-level-using`: `await using` at the top level of a module drains a server when the module has run.

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
