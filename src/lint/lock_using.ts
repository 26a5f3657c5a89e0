/** `catga/lock-using`: a lock is released at the end of a block, by `await using`. */
import { memberName, rule } from "./catga_file.ts";
import { isFunction, isReference, parentOf } from "./scopes.ts";

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
