/** Finds the functions of a file that run as handlers, and the syntax nodes inside of them. */
import { bare, type CatgaFile, rule } from "./catga_file.ts";
import { type FunctionNode, functionsAround, isReference, parentOf } from "./scopes.ts";

/** Collects the handlers of a file while its syntax tree is visited; complete at the end of the file. */
export class HandlerFunctions {
  readonly #file: CatgaFile;
  readonly #found = new Set<FunctionNode>();

  constructor(file: CatgaFile) {
    this.#file = file;
  }

  /** Adds the handler's function, if the call makes a handler. */
  visit(call: Deno.lint.CallExpression): void {
    const fn = this.#file.handlerCall(call)?.fn;
    if (fn !== undefined) this.#found.add(fn);
  }

  /** Returns true if a function is a handler of the file. */
  has(fn: FunctionNode): boolean {
    return this.#found.has(fn);
  }

  /** Returns true if a syntax node is inside a handler, at any depth. */
  contain(node: Deno.lint.Node): boolean {
    return functionsAround(node).some((fn) => this.#found.has(fn));
  }
}

// `catga/handler-registered`: a handler does nothing until it is passed to `catga`.

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
