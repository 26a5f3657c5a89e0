/** Tests of the lint plugin as a whole: its page, the code of this package, and `deno lint` itself. */
import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import plugin from "./mod.ts";
import { IN_DENO } from "./rule_suite.ts";
import { sourceFiles } from "../../tools/sources.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFile(join(root, path), "utf8");

/** Returns the TypeScript examples in a page or in doc comments, also those that are not run. */
function examplesIn(text: string): string[] {
  const plain = text.replaceAll(/^ *\* ?/gm, (margin) => margin.trimStart().startsWith("*") ? "" : margin);
  return [...plain.matchAll(/^```ts(?: \w+)?\n(.*?)^```$/gms)].map(([, code]) => code);
}

/**
 * Returns the findings of the rules without those that a `deno-lint-ignore` comment excuses. `runPlugin` reports both
 * kinds.
 */
function findings(source: string, path = "example.ts"): string[] {
  const excused = ({ id, range: [start] }: Deno.lint.Diagnostic) => {
    const [, before] = source.slice(0, start).split("\n").reverse();
    return before?.includes(`deno-lint-ignore ${id}`);
  };
  return Deno.lint.runPlugin(plugin, path, source).filter((one) => !excused(one)).map(({ id, message }) =>
    `${id}: ${message}`
  );
}

describe("the lint plugin", () => {
  it("is called catga, and its page has a section for each rule", async () => {
    const page = await read("docs/lint.md");
    assertEquals(plugin.name, "catga");
    assertEquals([...page.matchAll(/^## catga\/(.*)$/gm)].map(([, name]) => name), Object.keys(plugin.rules));
  });
});

describe("the lint rules", IN_DENO, () => {
  it("find the lines that their page calls bad, and nothing in its examples", async () => {
    const sections = (await read("docs/lint.md")).split(/^## catga\//m).slice(1);
    for (const section of sections) {
      const [name] = section.split("\n");
      const [good] = examplesIn(section);
      const bad = good.replace(/\/\/ bad: (.*)\n.*$/m, "$1"); // the bad line takes the place of the line below it
      assertNotEquals(bad, good, name);
      const ids = findings(bad).map((text) => text.split(":")[0]);
      assertEquals([name, ids], [name, [`catga/${name}`]]);
      assertEquals([name, findings(good)], [name, []]);
    }
  });

  it("find nothing in the other pages, in the examples of doc comments and in examples/", async () => {
    const files = await sourceFiles(root, ["README.md", "docs", "mod.ts", "src", "examples"]);
    const found: string[] = [];
    let seen = 0;
    for (const file of files) {
      // signatures of the reference are no programs
      if (file === "docs/lint.md" || file.startsWith("docs/api/") || !/\.(md|ts)$/.test(file)) continue;
      const text = await read(file);
      for (const source of file.startsWith("examples/") && file.endsWith(".ts") ? [text] : examplesIn(text)) {
        seen++;
        found.push(...findings(source, `${file}.ts`).map((finding) => `${file}: ${finding}`));
      }
    }
    assertEquals(found, []);
    assertEquals(seen > 50, true);
  });
});

describe("deno lint with the plugin", IN_DENO, () => {
  it("reports, passes over what a comment excuses, and fixes", { timeout: 300_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-lint-"));
    try {
      const plugins = [new URL("mod.ts", import.meta.url).href];
      await writeFile(join(folder, "deno.json"), JSON.stringify({ lint: { plugins } }));
      await writeFile(join(folder, "main.ts"), SOURCE);
      const first = await denoLint(folder, "main.ts");
      assertEquals([first.code, first.ids], [1, ["catga/contract-name", "catga/lock-using"]]);
      const second = await denoLint(folder, "--fix", "main.ts");
      assertEquals([second.code, second.ids], [1, ["catga/contract-name"]]);
      assertStringIncludes(await readFile(join(folder, "main.ts"), "utf8"), "await using lock = await app.lock");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

const SOURCE = `import { catga, command } from "@catga/catga";

export const CreateOrder = command("MakeOrder");
// deno-lint-ignore catga/contract-name -- the name is older than this program
export const CancelOrder = command("Storno");

export async function work() {
  const app = await catga();
  const lock = await app.lock("order:42");
  console.log(lock.token);
  await app.drain();
}
`;

function denoLint(folder: string, ...args: string[]): Promise<{ code: number; ids: string[] }> {
  const env = { ...process.env, NO_COLOR: "1" };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, ["lint", ...args], { cwd: folder, env, timeout: 120_000 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== "number") return reject(error);
      const ids = [...`${stdout}${stderr}`.matchAll(/^error\[(.*?)\]/gm)].map(([, id]) => id);
      resolve({ code: error?.code as number ?? 0, ids });
    });
  });
}
