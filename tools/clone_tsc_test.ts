/**
 * A clone that is used as a package passes `tsc`, which checks its sources as if they were the user's (12 errors in the
 * transport of Deno). Takes a minute of processor, so it guards releases alone.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { errorsOf, PROGRAM } from "./clone_types.ts";
import { fetchPackages } from "./npm_packages.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * The `tsconfig.json` that `bun init` writes, with the setting that docs/getting-started.md gives for a clone. As a
 * package from JSR has declarations, no compiler checks its sources.
 */
const BUN_INIT = {
  compilerOptions: {
    ...{ lib: ["ESNext"], target: "ESNext", module: "Preserve", moduleDetection: "force", jsx: "react-jsx" },
    ...{ allowJs: true, types: ["bun"], moduleResolution: "bundler", allowImportingTsExtensions: true },
    ...{ verbatimModuleSyntax: true, noEmit: true, strict: true, skipLibCheck: true, noImplicitOverride: true },
    ...{ noFallthroughCasesInSwitch: true, noUncheckedIndexedAccess: false },
  },
};

describe("a clone that is used as a package in Bun", { skip: "Bun" in globalThis && "tsc is the same in Deno" }, () => {
  const unready = !existsSync(join(root, "node_modules", "@nats-io")) && "its packages are not installed: bun install";
  it("has none for tsc in a folder of `bun init`", { timeout: 300_000, skip: unready }, async () => {
    const compiler = join(root, ".cache", "typescript-5.9.3");
    await fetchPackages(compiler, "typescript@5.9.3", "@types/bun@1.4.5");
    const packages = join(compiler, "node_modules");
    const folder = await mkdtemp(join(tmpdir(), "catga-types-"));
    try {
      await mkdir(join(folder, "node_modules", "@catga"), { recursive: true });
      await symlink(root, join(folder, "node_modules", "@catga", "catga"));
      await symlink(join(packages, "@types"), join(folder, "node_modules", "@types"));
      await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(BUN_INIT));
      // an error of its own shows that the compiler looks at all
      await writeFile(join(folder, "index.ts"), `${PROGRAM}\napp.nope();\n`);
      const tsc = join(packages, "typescript", "bin", "tsc");
      const [code, errors] = await errorsOf(folder, "node", [tsc, "--noEmit"]);
      assertEquals([code, errors.length], [2, 1], errors.join("\n"));
      assertStringIncludes(errors[0], "Property 'nope' does not exist");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
