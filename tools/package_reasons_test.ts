import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { packageRows, reasonFindings } from "./package_reasons.ts";
import { isTestCode, sourceFiles } from "./sources.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("reasons for parts beside NATS's packages", () => {
  it("name a row of the page, in all comments of the product", async () => {
    const rows = packageRows(await readFile(`${root}docs/internals/packages.md`, "utf8"));
    const files = (await sourceFiles(root, ["mod.ts", "src"]))
      .filter((file) => file.endsWith(".ts") && !isTestCode(file));
    const findings = await Promise.all(
      files.map(async (file) => reasonFindings(file, await readFile(root + file, "utf8"), rows)),
    );
    assertEquals(findings.flat(), []);
  });

  const NO_ROW = "a reason for a part of Catga's own: name its row of docs/internals/packages.md";
  const wrong: [comment: string, says: string][] = [
    ["/** A watch. That of `@nats-io/kv` is silent for long. */", NO_ROW],
    ["/**\n * A feed: an ordered consumer of `@nats-io/jetstream`\n * would be silent. */", NO_ROW],
    ["// nats.js (3.4) removes the servers that did not answer", NO_ROW],
    ["// transport-deno waits for\n// each write", NO_ROW],
    ["/** An update has no ttl: docs/internals/packages.md. */", "names docs/internals/packages.md without a row"],
    ["// docs/internals/packages.md, row `kv-updates`", "docs/internals/packages.md has no row kv-updates"],
    ["// rows `watch` and `gone` of docs/internals/packages.md", "docs/internals/packages.md has no row gone"],
  ];
  for (const [comment, says] of wrong) {
    it(`find fault with ${JSON.stringify(comment)}`, () => {
      assertEquals(reasonFindings("a.ts", `\n${comment}\n`, ["watch", "kv-update"]), [`a.ts:2: ${says}`]);
    });
  }

  it("find no fault with reasons that name a row, uses of a package, and code", () => {
    const right = [
      "/**\n * An update has no ttl (docs/internals/packages.md,\n * row `kv-update`). */",
      "// rows `watch` and `kv-update` of docs/internals/packages.md",
      "/** Loads `@nats-io/kv`. */",
      "// nats.js subscribes again after a reconnect",
      'const version = "3.4.0";',
    ];
    for (const source of right) assertEquals(reasonFindings("a.ts", source, ["watch", "kv-update"]), []);
  });

  it("read the rows of the second table alone", () => {
    const page =
      "| `used` | x |\n## Why not\n| row | x |\n| --- | - |\n| `a-b` | `c` |\n| `d` | |\n## By hand\n| `e` | |";
    assertEquals(packageRows(page), ["a-b", "d"]);
  });
});
