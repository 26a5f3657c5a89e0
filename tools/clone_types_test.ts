/**
 * A clone that is used as a package passes the type check of its user's program, whose `ProgramTypes` apply to Catga's
 * own files, too (17 errors in Catga's files with `caller` as in docs/http.md).
 */
import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

const PROGRAM = `
import { catga, command } from "@catga/catga";
declare module "@catga/catga" {
  interface ProgramTypes {
    caller: { id: string; role: "buyer" | "admin" };
    meta: { role?: "admin" };
  }
}
const Who = command<void, string>("Who", { meta: { role: "admin" } });
await using app = await catga({ handlers: Who.handle((_, ctx) => ctx.caller?.id ?? "nobody") });
console.log(await app.send(Who));
`;

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
      const [code, said] = await new Promise<[unknown, string]>((resolve) =>
        execFile(
          process.execPath,
          args,
          { env: { ...process.env, NO_COLOR: "1" } },
          (error, _, err) => resolve([error?.code ?? 0, err]),
        )
      );
      const errors = said.split("\n").filter((line) => line.includes("[ERROR]"));
      assertEquals([code, errors], [0, []]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
