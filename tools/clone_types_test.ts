/**
 * A clone that is used as a package passes the type check of its user's program, whose `ProgramTypes` apply to Catga's
 * own files, too (17 errors in Catga's files with `caller` as in docs/http.md; 12 of `tsc` in the transport of Deno).
 */
import { assertEquals } from "@std/assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { errorsOf, PROGRAM } from "./clone_types.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The imports that docs/getting-started.md gives for a clone, with the path of this one. */
async function importsOfDocs(): Promise<Record<string, string>> {
  const page = await readFile(join(root, "docs/getting-started.md"), "utf8");
  const [, json] = /a `deno\.json`:\n\n```json\n([\s\S]*?)```/.exec(page)!;
  const { imports } = JSON.parse(json) as { readonly imports: Record<string, string> };
  return { ...imports, "@catga/catga": join(root, "mod.ts") };
}

describe("a clone that is used as a package", { skip: "Bun" in globalThis && "Bun checks no types" }, () => {
  it("has no type error in a program that names its caller and its metadata", { timeout: 300_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-types-"));
    try {
      await writeFile(join(folder, "deno.json"), JSON.stringify({ imports: await importsOfDocs() }));
      await writeFile(join(folder, "program.ts"), PROGRAM);
      const args = ["check", "--config", join(folder, "deno.json"), "--no-lock", join(folder, "program.ts")];
      assertEquals(await errorsOf(folder, process.execPath, args), [0, []]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
