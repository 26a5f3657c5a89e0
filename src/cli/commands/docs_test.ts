/** `catga docs` prints what messages of the program name, and each such address is there. */
import { assert, assertEquals, assertFalse, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { cliHere } from "../../../test/support/cli_here.ts";
import { isTestCode, sourceFiles } from "../../../tools/sources.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

describe("catga docs", () => {
  it("prints the part of a page that an alarm names, and no other part", async () => {
    const { code, out } = await cliHere(["docs", "alarms#no-node"]);
    assertEquals([code, out.split("\n")[0]], [0, "no-node"]);
    assertStringIncludes(out, "has no handler now");
    assertFalse(out.includes("\ndead-letters\n"));
  });

  it("prints a whole page, whose links are what it takes itself", async () => {
    const { code, out } = await cliHere(["docs", "outcomes"]);
    assertEquals(code, 0);
    assertMatch(out, /^Four outcomes of a send\n/);
    assertMatch(out, /\(errors#[\w-]+\)/);
    assertFalse(/\]\(/.test(out));
  });

  it("prints a page of a folder", async () => {
    const { code, out } = await cliHere(["docs", "migrating/bullmq"]);
    assertEquals([code, out.includes("BullMQ")], [0, true]);
    assertStringIncludes((await cliHere(["docs", "migrating"])).out, "(migrating/bullmq)");
  });

  it("takes the name of a file, too", async () => {
    assertEquals(await cliHere(["docs", "docs/alarms.md#no-node"]), await cliHere(["docs", "alarms#no-node"]));
  });

  it("lists the pages", async () => {
    const { code, out } = await cliHere(["docs"]);
    assertEquals(code, 0);
    assertStringIncludes(out, "Durable messaging (log)");
  });

  it("finds a word in a heading: prints its part, if one heading alone is or has it, or lists where it is", async () => {
    assertMatch((await cliHere(["docs", "OUTCOME_UNKNOWN"])).out, /^OUTCOME_UNKNOWN\n\nA command/);
    assertStringIncludes((await cliHere(["docs", "schedules"])).out, "catga docs log#schedules  Schedules\n");
  });

  it("prints a type of the reference", async () => {
    const { out } = await cliHere(["docs", "api/catga#sendoptions"]);
    assertMatch(out, /^SendOptions\n/);
    assertMatch((await cliHere(["docs", "SendOptions"])).out, /^SendOptions\n/);
  });

  it("says what was meant by a word that is nowhere", async () => {
    const page = await cliHere(["docs", "wrkflows"]);
    assertEquals([page.code, page.out], [1, ""]);
    assertStringIncludes(page.err, "did you mean workflows?");
    const part = await cliHere(["docs", "alarms#no-nod"]);
    assertEquals(part.code, 2);
    assertStringIncludes(part.err, "did you mean no-node?");
  });

  it("prints each part that a message, an alarm or a finding names", async () => {
    const files = (await sourceFiles(root, ["src"])).filter((file) => file.endsWith(".ts") && !isTestCode(file));
    const named = new Set<string>();
    for (const file of files) {
      const text = await readFile(join(root, file), "utf8");
      for (const [, address, open] of text.matchAll(/catga docs ([a-z-]+(?:#[\w-]*)?)(\$?)/g)) {
        if (open === "") named.add(address);
      }
    }
    named.delete("WORD");
    assertGreater(named.size, 12);
    const missing: string[] = [];
    for (const address of named) if ((await cliHere(["docs", address])).code !== 0) missing.push(address);
    assertEquals(missing, []);
  });

  it("is what messages name: none names a file that a package from JSR does not have", async () => {
    const files = (await sourceFiles(root, ["src"])).filter((file) => file.endsWith(".ts") && !isTestCode(file));
    const found: string[] = [];
    for (const file of files) {
      const lines = (await readFile(join(root, file), "utf8")).split("\n");
      for (const line of lines) {
        if (/^\s*(?:\/\/|\/?\*)/.test(line)) continue;
        if (/docs\/[\w-]+\.md/.test(line.replace(/\/\/ .*/, ""))) found.push(`${file}: ${line.trim()}`);
      }
    }
    assertEquals(found, []);
  });

  it("has its pages in the package", async () => {
    const { publish } = JSON.parse(await readFile(join(root, "jsr.json"), "utf8"));
    assert(publish.include.includes("docs/*.md") && publish.include.includes("README.md"));
  });
});
