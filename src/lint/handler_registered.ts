/** `catga/handler-registered`: a handler does nothing until it is passed to `catga`. */
import { bare, rule } from "./catga_file.ts";
import { isReference, parentOf } from "./scopes.ts";

/**
 * Reports a handler that cannot be registered: it is not assigned, or is assigned to a constant that is neither
 * exported nor used. There is no fix: an export would start the handler.
 */
export const handlerRegistered: Deno.lint.Rule = rule((file, context) => {
  const kept: Deno.lint.VariableDeclarator[] = [];
  const references: Deno.lint.Identifier[] = [];
  return {
    ExpressionStatement({ expression }): void {
      const call = bare(expression);
      if (call.type !== "CallExpression") return;
      const handler = file.handlerCall(call);
      if (handler === undefined) return;
      const contract = context.sourceCode.getText(handler.contract);
      context.report({
        node: call,
        message: `This handler of ${contract} is dropped, so that it never runs`,
        hint: "Export it, and pass its module to catga({ handlers })",
      });
    },
    VariableDeclarator(declarator): void {
      const { id, init, parent } = declarator;
      const call = init && bare(init);
      if (id.type !== "Identifier" || call?.type !== "CallExpression" || id.name.startsWith("_")) return;
      if (file.handlerCall(call) && parentOf(parent)?.type !== "ExportNamedDeclaration") kept.push(declarator);
    },
    Identifier(identifier): void {
      if (isReference(identifier)) references.push(identifier);
    },
    "Program:exit"(): void {
      for (const declarator of kept) {
        if (references.some((reference) => file.refersTo(reference, declarator))) continue;
        const id = declarator.id as Deno.lint.Identifier; // cast: `kept` has only declarators of identifiers
        context.report({
          node: id,
          message: `The handler ${id.name} is not exported and not used, so that it never runs`,
          hint: "Export it, and pass its module to catga({ handlers })",
        });
      }
    },
  };
});
