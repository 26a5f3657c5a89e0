import { assertEquals, assertGreater, assertLessOrEqual, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Arrow, blank, importsOf, readImports } from "./import_graph.ts";
import { importCircles, importViolations } from "./import_rules.ts";
import { roomOf, roomPicture, ROOMS, roomTable } from "./rooms.ts";
import { isTestCode, sourceFiles } from "./sources.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What the rules say of an import written into a file. */
function said(file: string, source: string): string[] {
  return importViolations(importsOf(file, source));
}

const files = (await sourceFiles(root, ["mod.ts", "src"])).filter((file) => file.endsWith(".ts") && !isTestCode(file));
const arrows = await readImports(root, files);

describe("imports", () => {
  it("of mod.ts and src/ are those that the rooms allow", () => {
    assertGreater(arrows.length, 20);
    assertEquals(importViolations(arrows), []);
  });

  it("of mod.ts and src/ have no circle, types included", () => {
    assertEquals(importCircles(arrows), []);
  });
});

/** The files that are loaded with these files. */
function loadedWith(...roots: readonly string[]): string[] {
  const loaded = new Set(roots);
  for (const from of loaded) {
    for (const arrow of arrows) if (arrow.from === from && arrow.kind === "static") loaded.add(arrow.to);
  }
  return [...loaded].filter((name) => files.includes(name));
}

describe("the import of mod.ts", () => {
  it("loads nothing that a node without others may never need", () => {
    const late = ["cluster", "nats", "memory", "file", "codec", "log", "flow", "streams", "entities"];
    const loaded = loadedWith("mod.ts");
    assertEquals(loaded.filter((file) => late.includes(file.split("/")[1])), []);
    const state = loaded.filter((file) => file.startsWith("src/state/")).sort();
    assertEquals(state, ["src/state/leadership.ts", "src/state/locks/lock_record.ts", "src/state/state.ts"]);
  });

  it("loads 73 files at most: each takes 0.2 ms of a start", () => {
    assertLessOrEqual(loadedWith("mod.ts").length, 73);
  });
});

describe("a start over NATS", () => {
  const parts = [
    "cluster/cluster",
    "nats/open",
    "node/permission_denials",
    "nats/connection/connection",
    "nats/connection/transport",
    "nats/bucket/key_value_store",
  ];
  const loaded = loadedWith("mod.ts", ...parts.map((part) => `src/${part}.ts`));

  it("loads the parts that it is made of by these imports", () => {
    const late = arrows.filter(({ kind, from }) => kind === "dynamic" && from !== "src/nats/connection/driver.ts");
    assertEquals(parts.filter((part) => !late.some(({ to }) => to === `src/${part}.ts`)), []);
  });

  it("loads 142 files at most", () => {
    assertLessOrEqual(loaded.length, 142);
  });

  it("loads nothing that reads a stream on: watches need it two seconds later, and programs with a log", () => {
    const readers = ["log_reader", "log_place", "shared_consumer", "shared_consumers"];
    const late = [...readers.map((name) => `src/nats/reading/${name}.ts`), "src/ports/event_log.ts"];
    assertEquals(late.filter((file) => !files.includes(file)), []);
    assertEquals(late.filter((file) => loaded.includes(file)), []);
  });

  it("loads no behaviors around sends, no signals, and no clock of memory", () => {
    const late = ["src/node/send_behaviors.ts", "src/node/process_signals.ts", "src/ports/resting_clock.ts"];
    assertEquals(late.filter((file) => loaded.includes(file) || !files.includes(file)), []);
  });

  it("loads nothing that compares schemas: nodes need it beside nodes with other versions of contracts", () => {
    const parts = files.filter((file) => file.startsWith("src/contract/schemas/compatibility/"));
    assertGreater(parts.length, 0);
    const late = [...parts, "src/contract/schemas/compatibility.ts", "src/cluster/membership/schema_mismatches.ts"];
    assertEquals(late.filter((file) => !files.includes(file)), []);
    assertEquals(late.filter((file) => loaded.includes(file)), []);
  });
});

describe("rooms", () => {
  it("every file stands in one, and every room has files", () => {
    const rooms = files.map((file) => roomOf(file));
    assertEquals(files.filter((_, at) => rooms[at] === undefined), []);
    assertEquals(ROOMS.filter((room) => !rooms.includes(room)), []);
  });

  it("may import rooms that there are, and none that may import them", () => {
    const paths = ROOMS.map(({ path }) => path);
    const named = ROOMS.flatMap(({ may, lazily = [] }) => [...may, ...lazily]).filter((name) => !name.startsWith("@"));
    assertEquals(named.filter((name) => !paths.includes(name)), []);
    const both = ROOMS.flatMap((room) =>
      room.may.filter((name) => ROOMS.find(({ path }) => path === name)?.may.includes(room.path))
    );
    assertEquals(both, []);
  });

  it("stand at the top of src/ as three files at most", () => {
    const loose = files.filter((file) => /^src\/[^/]+\.ts$/.test(file));
    assertEquals(loose, ["src/catga.ts", "src/error.ts", "src/version.ts"]);
  });

  it("are the same in docs/figures/rooms.md", async () => {
    const cells = (text: string) => text.replace(/ +/g, " ").replace(/-{3,}/g, "---");
    const page = await readFile(new URL("../docs/figures/rooms.md", import.meta.url), "utf8");
    assertEquals(cells(page).includes(cells(roomTable())), true, `the table is to be\n${roomTable()}`);
  });
});

describe("the picture of the architecture", () => {
  it("is the one of the rooms", async () => {
    const page = await readFile(new URL("../docs/internals/architecture.md", import.meta.url), "utf8");
    assertEquals(
      page.includes(`\`\`\`mermaid\n${roomPicture()}\n\`\`\``),
      true,
      `the picture is to be\n${roomPicture()}`,
    );
  });

  it("stands above a table with each folder of src/", async () => {
    const page = await readFile(new URL("../docs/internals/architecture.md", import.meta.url), "utf8");
    const folders = new Set(files.flatMap((file) => /^src\/([\w-]+)\//.exec(file)?.[1] ?? []));
    const rows = page.split("\n").filter((line) => line.startsWith("| `")).map((line) => line.split("|")[1]);
    assertEquals([...folders].filter((folder) => !rows.some((row) => row.includes(`\`${folder}\``))), []);
    const read = page.split("\n").filter((line) => line.startsWith("| `")).flatMap((line) =>
      [...line.split("|")[3].matchAll(/`([\w/.]+\.ts)`/g)].map(([, file]) => [line.split("`")[1], file])
    );
    const missing = read.filter(([room, file]) =>
      !files.includes(`src/${room}/${file}`) && !files.includes(`src/${file}`)
    );
    assertEquals(missing, []);
  });
});

describe("import rules", () => {
  const forbidden: [file: string, source: string, rule: RegExp][] = [
    ["src/contract/result.ts", 'import { x } from "../cluster/routing/router.ts";', /src\/contract may import/],
    ["src/contract/result.ts", 'import { x } from "../dispatch/runner.ts";', /src\/contract may import/],
    ["src/contract/result.ts", 'import { x } from "../catga.ts";', /src\/contract may import/],
    ["src/contract/result.ts", 'import type { X } from "@nats-io/nats-core";', /src\/contract may import/],
    ["src/contract/result.ts", 'import { z } from "zod";', /src\/contract may import/],
    ["src/contract/result.ts", 'import { x } from "../../tools/junit.ts";', /src\/contract may import/],
    ["src/contract/result.ts", 'import { x } from "./result_test.ts";', /only tests/],
    ["src/contract/result.ts", 'import { x } from "../../test/support/start_or_dispose.ts";', /only tests/],
    ["src/contract/result.ts", 'import { x } from "../../mod.ts";', /src\/contract may import/],
    ["src/dispatch/runner.ts", 'import type { X } from "../node/app.ts";', /src\/dispatch may import/],
    ["src/node/app.ts", 'import type { X } from "../cluster/cluster.ts";', /src\/node may import/],
    ["src/cluster/cluster.ts", 'import type { App } from "../node/app.ts";', /src\/cluster may import/],
    ["src/cluster/wire/peer.ts", 'import type { X } from "../routing/router.ts";', /src\/cluster\/wire may import/],
    ["src/cluster/routing/router.ts", 'import type { X } from "../../state/cache.ts";', /cluster\/routing may import/],
    ["src/cluster/routing/router.ts", 'export * from "../../memory/transport.ts";', /cluster\/routing may import/],
    ["src/state/locks/waiter.ts", 'const x = await import("../../cluster/cluster.ts");', /state\/locks may import/],
    ["src/state/locks/waiter.ts", 'import { x } from "../claims/held_claim.ts";', /state\/locks may import/],
    ["src/state/cache.ts", 'import { connect } from "@nats-io/transport-deno";', /src\/state may import/],
    ["src/memory/transport.ts", 'import { x } from "../dispatch/mediator.ts";', /src\/memory may import/],
    ["src/memory/transport.ts", 'import { x } from "../nats/transport.ts";', /src\/memory may import/],
    [
      "src/nats/connection/transport.ts",
      'type X = import("../../contract/definition.ts").Command;',
      /src\/nats may import/,
    ],
    ["src/catga.ts", 'import { x } from "./nats/open.ts";', /lazily/],
    ["src/catga.ts", 'import "./behaviors/retry.ts";', /src\/catga\.ts may import/],
    ["src/catga.ts", "await import(name);", /must name its module/],
    ["src/behaviors/retry.ts", 'import { x } from "../dispatch/runner.ts";', /src\/behaviors may import/],
    ["src/cli/main.ts", 'import { x } from "../catga.ts";', /src\/cli may import/],
    ["src/cli/main.ts", 'import { x } from "../cluster/routing/router.ts";', /src\/cli may import/],
    ["src/testing/pace.ts", 'import { x } from "../cluster/cluster.ts";', /src\/testing may import/],
    ["src/cellar/x.ts", 'import { x } from "../error.ts";', /no room/],
    ["mod.ts", 'export { x } from "./src/nats/open.ts";', /mod\.ts may import/],
  ];
  for (const [file, source, rule] of forbidden) {
    it(`forbid ${file}: ${source}`, () => {
      const [violation, ...more] = said(file, source);
      assertMatch(violation ?? "allowed", rule);
      assertEquals(more, []);
    });
  }

  const allowed: [file: string, source: string][] = [
    ["mod.ts", 'export { catga } from "./src/catga.ts"; export type { X } from "./src/contract/calls/result.ts";'],
    ["src/catga.ts", 'import type { X } from "./memory/network.ts"; import { y } from "./state/state.ts";'],
    ["src/catga.ts", 'const { x } = await import("./nats/open.ts"); import type { T } from "./nats/open.ts";'],
    [
      "src/cluster/routing/router.ts",
      'import { x } from "../../ports/transport.ts"; import { y } from "./breakers.ts";',
    ],
    [
      "src/nats/connection/transport.ts",
      'import { x } from "@nats-io/nats-core"; import type { T } from "../ports/transport.ts";',
    ],
    ["src/behaviors/tracing.ts", 'import { trace } from "@opentelemetry/api"; import "../contract/behavior.ts";'],
    ["src/cli/main.ts", 'import { x } from "../../mod.ts"; import { y } from "../cluster/wire/frame.ts";'],
    ["src/node/hot_reload.ts", 'import process from "node:process";'],
    ["src/nats/kv_test.ts", 'import { x } from "../cluster/cluster.ts"; import "../../tools/nats_server.ts";'],
  ];
  for (const [file, source] of allowed) it(`allow ${file}: ${source}`, () => assertEquals(said(file, source), []));

  it("find a circle over types", () => {
    const circle = [
      ...importsOf("src/data/a.ts", 'import type { B } from "./b.ts";'),
      ...importsOf("src/data/b.ts", 'import { c } from "./c.ts";'),
      ...importsOf("src/data/c.ts", 'import type { A } from "./a.ts";'),
    ];
    assertEquals(importCircles(circle), ["src/data/a.ts → src/data/b.ts → src/data/c.ts → src/data/a.ts"]);
    assertEquals(importCircles(circle.slice(0, 2)), []);
  });
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
