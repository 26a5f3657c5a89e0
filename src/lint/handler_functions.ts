/** The functions of a file that run as handlers, and the nodes inside of them. */
import type { CatgaFile } from "./catga_file.ts";
import { type FunctionNode, functionsAround } from "./scopes.ts";

/** Collects handlers while a file is visited; complete at the end of the file. */
export class HandlerFunctions {
  readonly #file: CatgaFile;
  readonly #found = new Set<FunctionNode>();

  constructor(file: CatgaFile) {
    this.#file = file;
  }

  /** Adds the handler of a call, if it is one of `handle` or `on`. */
  visit(call: Deno.lint.CallExpression): void {
    const fn = this.#file.handlerCall(call)?.fn;
    if (fn !== undefined) this.#found.add(fn);
  }

  /** Whether a function is a handler. */
  has(fn: FunctionNode): boolean {
    return this.#found.has(fn);
  }

  /** Whether a node is inside of a handler, at any depth. */
  contain(node: Deno.lint.Node): boolean {
    return functionsAround(node).some((fn) => this.#found.has(fn));
  }
}
