/**
 * The reference, made from the comments in the sources: `docs/api/`, a page an entrypoint, with each function, type and
 * option. Links of the guides that are labelled with a type lead there.
 *
 *   deno run -A tools/reference.ts     writes the pages anew
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The pages, by the entrypoints that they describe, in the order in which a type that several export is looked for. */
const PAGES = [
  { page: "catga", file: "mod.ts", name: "@catga/catga" },
  { page: "behaviors", file: "src/behaviors/mod.ts", name: "@catga/catga/behaviors" },
  { page: "http", file: "src/http/mod.ts", name: "@catga/catga/http" },
  { page: "client", file: "src/client/mod.ts", name: "@catga/catga/client" },
  { page: "sql", file: "src/sql/mod.ts", name: "@catga/catga/sql" },
  { page: "testing", file: "src/testing/mod.ts", name: "@catga/catga/testing" },
  { page: "cli", file: "src/cli/main.ts", name: "@catga/catga/cli" },
] as const;

/** The parts that are used here of what `deno doc --json` prints. */
interface Documented {
  readonly jsDoc?: {
    readonly doc?: string;
    readonly tags?: readonly { readonly kind: string; readonly doc?: string }[];
  };
  readonly location: { readonly filename: string; readonly byteIndex: number };
}
interface Declaration extends Documented {
  readonly kind: string;
  readonly def?: Readonly<Record<string, unknown>>;
}
interface DocumentedSymbol {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}
interface Output {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly DocumentedSymbol[] }>>;
}

/** Makes the pages: their texts by their paths in the repository. */
export async function referencePages(): Promise<Map<string, string>> {
  const args = ["doc", "--json", ...PAGES.map(({ file }) => file)];
  const { stdout } = await promisify(execFile)("deno", args, { cwd: root, maxBuffer: 1e8 });
  const { nodes } = JSON.parse(stdout) as Output;
  const sources = new Map<string, Uint8Array>();
  const symbolsOf = (file: string) =>
    Object.entries(nodes).find(([url]) => url.endsWith(`${root}${file}`))?.[1].symbols ?? [];
  const known = new Map<string, string>();
  for (const { page, file } of PAGES) {
    for (const { name, declarations } of symbolsOf(file)) {
      if (isType(declarations) && !known.has(name)) known.set(name, `${page}.md#${name.toLowerCase()}`);
      for (const { location } of declarations) {
        const path = location.filename;
        if (!sources.has(path)) sources.set(path, await readFile(fileURLToPath(path)));
      }
    }
  }
  const pages = new Map<string, string>();
  for (const { page, file, name } of PAGES) {
    const symbols = symbolsOf(file).filter(({ declarations }) => declarations.some(({ kind }) => kind !== "reference"));
    const sections = symbols.toSorted((a, b) => rankOf(a) - rankOf(b) || (a.name < b.name ? -1 : 1))
      .map((symbol) => sectionOf(symbol, sources, known));
    const intro = `Made from the comments in the sources by \`tools/reference.ts\`. [All entrypoints](../api.md)`;
    pages.set(`docs/api/${page}.md`, `# \`${name}\`\n\n${intro}\n\n${sections.join("\n\n")}\n`);
  }
  return pages;
}

function isType(declarations: readonly Declaration[]): boolean {
  return declarations.some(({ kind }) => kind === "interface" || kind === "typeAlias" || kind === "class");
}

/** Functions first, then classes, then types. */
function rankOf({ declarations: [{ kind }] }: DocumentedSymbol): number {
  return ["function", "class"].includes(kind) ? ["function", "class"].indexOf(kind) : 2;
}

function sectionOf(
  { name, declarations }: DocumentedSymbol,
  sources: ReadonlyMap<string, Uint8Array>,
  known: ReadonlyMap<string, string>,
): string {
  const own = declarations.filter(({ kind }) => kind !== "reference");
  const lines = [own[0].kind === "function" ? `## function ${name}` : `## ${name}`];
  for (const declaration of own) {
    const { kind, jsDoc, def = {} } = declaration;
    const source = sources.get(declaration.location.filename)!;
    const head = headOf(source, declaration.location.byteIndex, kind);
    if (kind !== "interface" || head.includes("<") || head.includes(" extends ")) lines.push(fenced(head));
    lines.push(...proseOf(jsDoc, known));
    if (kind === "function" || kind === "class") {
      for (const { kind, doc } of jsDoc?.tags ?? []) {
        if (kind === "example" && doc !== undefined) lines.push(doc.trim());
      }
    }
    const members = ["constructors", "properties", "methods"].flatMap((key) => (def[key] ?? []) as Documented[])
      .filter((member) => (member as { accessibility?: string }).accessibility !== "private")
      .toSorted((a, b) => a.location.byteIndex - b.location.byteIndex);
    const items = members.map((member) => {
      const text = memberOf(sources.get(member.location.filename) ?? source, member.location.byteIndex);
      const [first = "", ...more] = proseOf(member.jsDoc, known);
      const rest = more.map((part) => `\n\n${indented(part)}`).join("");
      return `- \`${text}\`${first === "" ? "" : `:\n${indented(first)}`}${rest}`;
    });
    if (items.length > 0) lines.push(items.join("\n"));
  }
  return lines.join("\n\n");
}

const indented = (text: string) => text.split("\n").map((line) => line === "" ? "" : `  ${line}`).join("\n");
const fenced = (code: string) => `\`\`\`ts ignore\n${code}\n\`\`\``;

/** The paragraphs of a comment, with links to the types that it names. */
function proseOf(jsDoc: Documented["jsDoc"], known: ReadonlyMap<string, string>): string[] {
  const text = jsDoc?.doc?.trim() ?? "";
  if (text === "") return [];
  return [
    text.replaceAll(/\{@link(?:code)? ([\w.#]+)(?:\s+([^}]*))?\}/g, (_, target: string, label?: string) => {
      const address = known.get(target.split(/[.#]/)[0]);
      const shown = label?.trim() || `\`${target}\``;
      return address === undefined ? shown : `[${shown}](${address})`;
    }),
  ];
}

/** The beginning of a declaration: of a function and an alias all but the body, of others up to the brace. */
function headOf(source: Uint8Array, start: number, kind: string): string {
  const text = new TextDecoder().decode(source.subarray(start));
  const end = kind === "typeAlias" || kind === "function" ? endOf(text, kind === "function") : text.indexOf(" {\n");
  return text.slice(0, end).replace(/^export (?:declare )?/, "").trim();
}

/** A member of a type in one line, without its comments. */
function memberOf(source: Uint8Array, start: number): string {
  const text = new TextDecoder().decode(source.subarray(start));
  const member = text.slice(0, endOf(text, true)).replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, "");
  return member.replaceAll(/\s+/g, " ").replaceAll("( ", "(").replaceAll(", )", ")").replace(/ = .*$/, "").trim();
}

/** Where a declaration ends: at its semicolon, or, if it may have one, at its body. */
function endOf(text: string, mayHaveBody: boolean): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text.startsWith("/*", i)) i = text.indexOf("*/", i) + 1;
    else if (text.startsWith("//", i)) i = text.indexOf("\n", i);
    else if (text.startsWith("=>", i)) i++;
    else if (text[i] === '"') i = text.indexOf('"', i + 1);
    else if (mayHaveBody && depth === 0 && text.startsWith(" {\n", i) && /[)\w>\]"|]$/.test(text.slice(0, i))) return i;
    else if ("([{<".includes(text[i])) depth++;
    else if (")]}>".includes(text[i])) depth--;
    else if (text[i] === ";" && depth === 0) return i;
    if (depth < 0) return i;
  }
  return text.length;
}

if (import.meta.main) {
  await mkdir(join(root, "docs/api"), { recursive: true });
  const pages = await referencePages();
  for (const [path, text] of pages) await writeFile(join(root, path), text);
  console.log(`${[...pages.keys()].join(", ")}: ${[...pages.values()].join("").length} characters`);
}
