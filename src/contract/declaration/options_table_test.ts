/** Tests that the table of options in docs/api.md lists exactly the options that each kind of contract takes. */
import { assertEquals, assertThrows } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { command, entity, event, query, stream, workflow } from "../../../mod.ts";

/** By kind of contract: makes a contract of this kind with the given options. */
const KINDS: Readonly<Record<string, (options: object) => unknown>> = {
  command: (options) => command("A", options as never),
  query: (options) => query("A", options as never),
  event: (options) => event("A", options as never),
  stream: (options) => stream("A", options as never),
  workflow: (options) => workflow("A", options as never),
  entity: (options) => entity("A", options as never),
};

const page = await readFile(new URL("../../../docs/api.md", import.meta.url), "utf8");
const [, section = ""] = page.split("## Options of contracts\n");
const rows = [...section.split("\n## ")[0].matchAll(/^\| `(\w+)` *\| ([^|]+)\|/gm)];
const tabled = (kind: string) =>
  rows.filter(([, , kinds]) => new RegExp(`\\b${kind}\\b`).test(kinds)).map(([, option]) => option).sort();

describe("the table of options in docs/api.md", () => {
  for (const [kind, make] of Object.entries(KINDS)) {
    it(`has those of a ${kind}, which takes no other`, () => {
      const { message } = assertThrows(() => make({ initial: () => 0, unheardOf: 1 }), TypeError);
      const [, takes = ""] = message.split("; it takes ");
      assertEquals(tabled(kind), takes.split(", ").sort(), message);
    });
  }
});
