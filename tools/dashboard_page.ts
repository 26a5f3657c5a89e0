/**
 * Writes the files of the dashboard's page, `src/dashboard/browser/`, as modules that export them as text, into `src/dashboard/page/`: so
 * they are part of the package, and of a compiled binary. Types are blanked, nothing else is changed.
 *
 *   deno run -A tools/dashboard_page.ts
 *
 * @module
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";

const SOURCES = new URL("../src/dashboard/browser/", import.meta.url);
const MADE = new URL("../src/dashboard/page/", import.meta.url);

/** What browsers are told of each kind of file. */
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** The longest line, as in deno.json. */
const LINE = 120;

/** The modules: names and texts. */
export async function pageModules(): Promise<ReadonlyMap<string, string>> {
  const modules = new Map<string, string>();
  const imports: string[] = [];
  const entries: string[] = [];
  for (const source of (await readdir(SOURCES)).filter((name) => !name.endsWith("_test.ts")).sort()) {
    const name = source.replace(/\.ts$/, ".js");
    const text = await readFile(new URL(source, SOURCES), "utf8");
    const module = `${name.replaceAll(/\W/g, "_")}.ts`;
    const constant = name.replaceAll(/\W/g, "_").toUpperCase();
    const served = source.endsWith(".ts") ? withoutTypes(text) : text;
    const head = `export const ${constant}: string =`;
    const value = literal(served);
    // as the formatter breaks it
    const gap = head.length + 1 + value.indexOf("\n") > LINE ? "\n  " : " ";
    modules.set(module, `// Made by tools/dashboard_page.ts.\n/** ${name} */\n${head}${gap}${value};\n`);
    imports.push(`import { ${constant} } from "./${module}";`);
    entries.push(`  "${name}": { type: "${TYPES[name.split(".").at(-1)!]}", text: ${constant} },`);
  }
  modules.set(
    "files.ts",
    [
      "// Made by tools/dashboard_page.ts.",
      "/** The files of the page. */",
      ...imports,
      "",
      "/** A file, and its content type. */",
      "export interface PageFile {",
      "  readonly type: string;",
      "  readonly text: string;",
      "}",
      "",
      "/** By name. */",
      "export const PAGE_FILES: Readonly<Record<string, PageFile>> = {",
      ...entries,
      "};",
      "",
    ].join("\n"),
  );
  return modules;
}

/** A module of the browser as JavaScript: types are blanked, comments stay, and modules are named as they are served. */
function withoutTypes(text: string): string {
  return stripTypeScriptTypes(text)
    .replace(/^\/\/\/ <reference .*\n/gm, "")
    .replaceAll(/(from ")(\.\/\w+)\.ts(";)/g, "$1$2.js$3")
    .replaceAll(/[ \t]+$/gm, "")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trimStart();
}

function literal(text: string): string {
  return `\`${text.replaceAll(/[\\`]|\$\{/g, "\\$&")}\``;
}

if (import.meta.main) {
  await rm(MADE, { recursive: true, force: true });
  await mkdir(MADE, { recursive: true });
  for (const [name, text] of await pageModules()) await writeFile(new URL(name, MADE), text);
  console.log(`wrote ${fileURLToPath(MADE)}`);
}
