import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";

const MADE = new URL("../src/dashboard/page/", import.meta.url);
/** Bun 1.4 cannot strip types. */
const skip = process.versions.bun === undefined ? false : "the modules are made in Deno";

describe("the page of the dashboard", { skip }, () => {
  it("is what `deno run -A tools/dashboard_page.ts` makes of its sources", async () => {
    const { pageModules } = await import("./dashboard_page.ts");
    const made = await pageModules();
    assertEquals((await readdir(MADE)).sort(), [...made.keys()].sort());
    for (const [name, text] of made) assertEquals([name, await readFile(new URL(name, MADE), "utf8")], [name, text]);
  });

  it("has no markup that a script sets, and no style or script in a page", async () => {
    const { pageModules } = await import("./dashboard_page.ts");
    for (const [name, text] of await pageModules()) {
      assertEquals([
        name,
        /\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(| style=|<script>/.test(text),
      ], [name, false]);
    }
  });
});
