import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { rule } from "./catga_file.ts";
import { HandlerFunctions } from "./handler_functions.ts";
import { IN_DENO, lint } from "./rule_suite.ts";
import { isFunction, parentOf } from "./scopes.ts";

/**
 * Returns, for each name `here` in order: "handler" if the function directly around it is a handler, "inside" if it
 * lies deeper in a handler, "outside" otherwise.
 */
function handlersAround(source: string): string[] {
  const handlers = rule((file, context) => {
    const handlers = new HandlerFunctions(file);
    const found: Deno.lint.Identifier[] = [];
    return {
      CallExpression: (call) => handlers.visit(call),
      Identifier: (node) => void (node.name === "here" && found.push(node)),
      "Program:exit"() {
        for (const node of found) {
          let at = parentOf(node);
          while (at !== undefined && !isFunction(at)) at = parentOf(at);
          const direct = at !== undefined && handlers.has(at);
          context.report({ node, message: direct ? "handler" : handlers.contain(node) ? "inside" : "outside" });
        }
      },
    };
  });
  const head =
    `import { command, event, workflow } from "@catga/catga"; const Trip = workflow("Trip"); const Do = command("Do"); const Told = event("Told");`;
  return lint("handlers", handlers, `${head}\n${source}`).map(({ message }) => message);
}

describe("HandlerFunctions", IN_DENO, () => {
  it("are those that are given to handle and on, as a function or by its name", () => {
    assertEquals(handlersAround("Do.handle(() => here); Told.on(async function () { here; });"), [
      "handler",
      "handler",
    ]);
    assertEquals(handlersAround("const run = () => here; Do.handle(run);"), ["handler"]);
    assertEquals(handlersAround("Told.onBatch(() => here); Trip.handle(() => here);"), ["handler", "handler"]);
  });

  it("are known at the end of the file, also if they are defined or named later", () => {
    assertEquals(handlersAround("function run() { here; } Do.handle(run);"), ["handler"]);
    assertEquals(handlersAround("Do.handle(run); function run() { here; }"), ["handler"]);
  });

  it("contain what is inside of them, at any depth, and not what only stands beside them", () => {
    assertEquals(handlersAround("Do.handle(() => { [1].map(() => () => here); });"), ["inside"]);
    assertEquals(handlersAround("here; Do.handle(() => {}, here); () => here;"), ["outside", "outside", "outside"]);
  });

  it("are not functions that other methods, or handle of something else, are given", () => {
    for (const source of ["Do.with(() => here);", "other.handle(() => here);", "Do.handle(wrap(() => here));"]) {
      assertEquals([source, ...handlersAround(source)], [source, "outside"]);
    }
  });
});
