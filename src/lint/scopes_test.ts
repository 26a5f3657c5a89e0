import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { IN_DENO, lint } from "./rule_suite.ts";
import { type Binding, functionsAround, isReference, mayAwait, parentOf, Scopes } from "./scopes.ts";

/** Returns what `say` returns for each reference to `x` in a source, in order. */
function ofEachX(source: string, say: (x: Deno.lint.Identifier, scopes: Scopes) => string): string[] {
  const rule: Deno.lint.Rule = {
    create(context) {
      const scopes = new Scopes();
      return {
        Identifier(node) {
          if (node.name === "x" && isReference(node)) context.report({ node, message: say(node, scopes) });
        },
      };
    },
  };
  return lint("scopes", rule, source).map(({ message }) => message);
}

/** Returns the declaration to which the name `x` belongs in each call `a(x)`. */
function bindings(source: string): string[] {
  const say = (x: Deno.lint.Identifier, scopes: Scopes) =>
    parentOf(x)?.type === "CallExpression" ? textOf(scopes.resolve(x)) : "";
  return ofEachX(source, say).filter((text) => text !== "");
}

function textOf(binding: Binding | undefined): string {
  if (binding?.kind === "import") return `${binding.name} of ${binding.module}`;
  return binding?.kind === "parameter" ? `parameter ${binding.index}` : binding?.kind ?? "global";
}

describe("Scopes", IN_DENO, () => {
  it("a name is that of the innermost scope that declares it", () => {
    const source = `
      import { x } from "m";
      a(x);
      function f(_, x) { a(x); { let x; a(x); } a(x); }
      a(x);`;
    assertEquals(bindings(source), ["x of m", "parameter 1", "variable", "parameter 1", "x of m"]);
  });

  it("a declaration holds in its whole scope, before it too, and not outside of it", () => {
    assertEquals(bindings("a(x); function x() {}"), ["function"]);
    assertEquals(bindings("a(x); export const x = 1;"), ["variable"]);
    assertEquals(bindings("{ const x = 1; } a(x);"), ["global"]);
    assertEquals(bindings("const f = function x() { a(x); }; a(x);"), ["function", "global"]);
    assertEquals(bindings("const c = class x { m() { a(x); } }; a(x);"), ["other", "global"]);
  });

  it("imports have the name of the export, whatever they are called here", () => {
    const of = (clause: string) => bindings(`import ${clause} from "m"; a(x);`)[0];
    assertEquals(["x", "* as x", "{ y as x }", '{ "y-z" as x }', "y, { x }"].map(of), [
      "default of m",
      "* of m",
      "y of m",
      "y-z of m",
      "x of m",
    ]);
  });

  it("patterns declare their names at any depth", () => {
    for (const pattern of ["x", "{ x }", "{ y: x }", "[z, x]", "[{ y: [x = 1] }]", "{ ...x }", "[...x]", "{ x = 1 }"]) {
      assertEquals([pattern, ...bindings(`const ${pattern} = y; a(x);`)], [pattern, "variable"]);
      assertEquals([pattern, ...bindings(`f((_, ${pattern}) => a(x));`)], [pattern, "parameter 1"]);
    }
    assertEquals(bindings("const { x: y } = z; a(x);"), ["global"]);
  });

  it("loops, switches, catch clauses, enums, namespaces and constructors declare names, too", () => {
    for (
      const [source, kind] of [
        ["for (let x = 0;;) a(x);", "variable"],
        ["for (const x of y) a(x);", "variable"],
        ["for (const x in y) a(x);", "variable"],
        ["switch (y) { case 1: let x; default: a(x); }", "variable"],
        ["try {} catch ({ x }) { a(x); }", "other"],
        ["enum x { A } a(x);", "other"],
        ["namespace x {} a(x);", "other"],
        ["class C { constructor(private x: number) { a(x); } }", "parameter 0"],
      ] as const
    ) assertEquals([source, ...bindings(source)], [source, kind]);
  });
});

describe("isReference", IN_DENO, () => {
  it("is true for uses, and not for keys, members, labels and declarations", () => {
    const count = (source: string) => ofEachX(source, () => "").length;
    for (
      const use of [
        "x;",
        "x.y;",
        "y[x];",
        "y = { x };",
        "y = { [x]: 1 };",
        "y = x;",
        "class C { y = x }",
        "y = () => x;",
      ]
    ) {
      assertEquals([use, count(use)], [use, 1]);
    }
    for (
      const other of [
        "y.x;",
        "y = { x: 1 };",
        "let x;",
        "x: for (;;) break x;",
        "class C { x = 1; }",
        "class C { x() {} }",
      ]
    ) assertEquals([other, count(other)], [other, 0]);
    for (
      const [source, uses] of [["export { x };", 1], ['export { x } from "m";', 0], [
        'import { x } from "m";',
        0,
      ]] as const
    ) {
      assertEquals([source, count(source)], [source, uses]);
    }
  });
});

describe("mayAwait, functionsAround", IN_DENO, () => {
  it("await is allowed where the innermost function is async, and at the top of a module, but not in parts of classes", () => {
    const may = (source: string) => ofEachX(source, (x) => `${mayAwait(x)}`)[0];
    for (const source of ["x;", "{ x; }", "async () => x;", "() => async () => { x; };"]) {
      assertEquals([source, may(source)], [source, "true"]);
    }
    for (const source of ["() => x;", "async () => () => x;", "class C { y = x; }", "class C { static { x; } }"]) {
      assertEquals([source, may(source)], [source, "false"]);
    }
  });

  it("functions are given from the innermost outwards", () => {
    const source = "function f() { return () => { return function () { x; }; }; }";
    assertEquals(ofEachX(source, (x) => functionsAround(x).map(({ type }) => type).join(" ")), [
      "FunctionExpression ArrowFunctionExpression FunctionDeclaration",
    ]);
    assertEquals(ofEachX("x;", (x) => `${functionsAround(x).length}`), ["0"]);
  });
});
