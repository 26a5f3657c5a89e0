/** Finds the functions of a file that run as handlers, and the syntax nodes inside of them. */
import type { CatgaFile } from "./catga_file.ts";
import { type FunctionNode, functionsAround } from "./scopes.ts";

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
