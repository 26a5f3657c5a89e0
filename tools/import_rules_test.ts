import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Arrow, blank, importsOf, readImports } from "./import_graph.ts";
import { importViolations } from "./import_rules.ts";
import { sourceFiles } from "./sources.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What the rules say of an import written into a file. */
function said(file: string, source: string): string[] {
  return importViolations(importsOf(file, source));
}

describe("imports", () => {
  it("of mod.ts and src/ are those that the house allows", async () => {
    const files = await sourceFiles(root, ["mod.ts", "src"]);
    const arrows = await readImports(root, files.filter((file) => file.endsWith(".ts")));
    assertGreater(arrows.length, 20);
    assertEquals(importViolations(arrows), []);
  });
});

describe("import rules", () => {
  const forbidden: [file: string, source: string, rule: RegExp][] = [
    ["src/contract/result.ts", 'import { x } from "./cluster/router.ts";', /the core may import the core/],
    ["src/contract/result.ts", 'import { x } from "./catga.ts";', /the core may import the core/],
    [
      "src/contract/result.ts",
      'import type { NatsConnection } from "@nats-io/nats-core";',
      /the core may import the core/,
    ],
    ["src/contract/result.ts", 'import { z } from "zod";', /the core may import the core/],
    ["src/contract/result.ts", 'import { x } from "../tools/junit.ts";', /the core may import the core/],
    ["src/contract/result.ts", 'import { x } from "./result_test.ts";', /the core may import the core/],
    ["src/contract/result.ts", 'import { x } from "../mod.ts";', /the core may import the core/],
    ["src/cluster/routing/router.ts", 'import type { Lock } from "../state/lock.ts";', /never state/],
    ["src/cluster/routing/router.ts", 'export * from "../memory/transport.ts";', /cluster\/ may import the core/],
    ["src/state/locks/lock_manager.ts", 'const x = await import("../cluster/endpoint.ts");', /never cluster/],
    [
      "src/state/locks/lock_manager.ts",
      'import { connect } from "@nats-io/transport-deno";',
      /state\/ may import the core/,
    ],
    ["src/memory/transport.ts", 'import { x } from "../mediator.ts";', /memory\/ may import the ports/],
    ["src/memory/transport.ts", 'import { x } from "../nats/transport.ts";', /memory\/ may import the ports/],
    ["src/nats/transport.ts", 'type X = import("../contract.ts").Command;', /nats\/ may import the ports/],
    ["src/catga.ts", 'import { x } from "./nats/connect.ts";', /lazily/],
    ["src/catga.ts", 'import "./behaviors/retry.ts";', /everything below/],
    ["src/catga.ts", "await import(name);", /must name its module/],
    ["src/behaviors/retry.ts", 'import { x } from "../cluster/router.ts";', /behaviors\/ may import the core/],
    ["src/cli/main.ts", 'import { x } from "../catga.ts";', /cli\/ may import mod/],
    ["src/cli/main.ts", 'import { x } from "../cluster/router.ts";', /cli\/ may import mod/],
    ["src/cli/main.ts", 'import { connect } from "@nats-io/transport-deno";', /cli\/ may import mod/],
    ["src/testing/pace.ts", 'import { x } from "../memory/network.ts";', /testkit\/ may import mod/],
    ["src/cellar/x.ts", 'import { x } from "../result.ts";', /no rule for cellar/],
    ["mod.ts", 'export { x } from "./src/nats/connect.ts";', /mod\.ts may import/],
  ];
  for (const [file, source, rule] of forbidden) {
    it(`forbid ${file}: ${source}`, () => {
      const [violation, ...more] = said(file, source);
      assertMatch(violation ?? "allowed", rule);
      assertEquals(more, []);
    });
  }

  const allowed: [file: string, source: string][] = [
    ["mod.ts", 'export { catga } from "./src/catga.ts"; export type { X } from "./src/contract/result.ts";'],
    ["src/catga.ts", 'import { x } from "./memory/network.ts"; import { y } from "./cluster/endpoint.ts";'],
    ["src/catga.ts", 'const { x } = await import("./nats/connect.ts"); import type { T } from "./nats/connect.ts";'],
    ["src/cluster/routing/router.ts", 'import { x } from "../transport.ts"; import { y } from "./strategies.ts";'],
    ["src/nats/transport.ts", 'import { x } from "@nats-io/nats-core"; import type { T } from "../transport.ts";'],
    ["src/behaviors/tracing.ts", 'import { trace } from "@opentelemetry/api"; import { x } from "../behavior.ts";'],
    ["src/cli/main.ts", 'import { x } from "../../mod.ts"; import { y } from "../cluster/frame.ts";'],
    ["src/node/signals.ts", 'import process from "node:process";'],
    ["src/nats/kv_test.ts", 'import { x } from "../cluster/endpoint.ts"; import "../../tools/nats_server.ts";'],
    ["src/testing/clock.ts", 'import { x } from "../../mod.ts"; import { y } from "../memory/network.ts";'],
  ];
  for (const [file, source] of allowed) it(`allow ${file}: ${source}`, () => assertEquals(said(file, source), []));
});

describe("importsOf", () => {
  const kinds = (source: string) => importsOf("src/a.ts", source).map(({ to, kind }: Arrow) => `${kind} ${to}`);

  it("reads every way to import", () => {
    assertEquals(
      kinds(`import a, { type B,
        c as d } from "./b.ts"; import * as all from '../mod.ts'; import "./effect.ts";
        export * from "./c.ts"; export { x } from "./d.ts"; export type { Y } from "./e.ts";
        import type { Z } from "./f.ts"; import type from "./g.ts"; const h = await import("./h.ts");
        export interface Empty {}
        import type { I } from "node:fs"; type J = typeof import("./j.ts"); const k = \`\${await import("./k.ts")}\`;`)
        .sort(),
      [
        "dynamic src/h.ts",
        "dynamic src/j.ts",
        "dynamic src/k.ts",
        "static mod.ts",
        "static src/b.ts",
        "static src/c.ts",
        "static src/d.ts",
        "static src/effect.ts",
        "static src/g.ts",
        "type node:fs",
        "type src/e.ts",
        "type src/f.ts",
      ],
    );
  });

  it("passes over comments, strings, templates, regular expressions and members named import", () => {
    assertEquals(
      kinds(`/* import "./a.ts" */ // import "./b.ts"
        const text = 'import x from "./c.ts"'; const t = \`import "./d.ts" \\\` \${1 + {}.a} import("./e.ts")\`;
        const r = /import "'\`[/"]/; x.import("./f.ts"); const from = "./g.ts";`),
      [],
    );
  });

  it("blank: keeps every length and line", () => {
    const source = 'a = "x\\"y"; // b\n/* c\n */ d = `e ${f("g")} h`; i = j / k / l; m = /n"/.test(o);';
    assertEquals(blank(source), 'a = "    ";     \n    \n    d = `  ${f(" ")}  `; i = j / k / l; m = /  /.test(o);');
  });
});
