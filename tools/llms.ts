/**
 * The docs for language models, made of the pages: `docs/llms.txt` has a line a page, `docs/llms-small.txt` what an
 * agent needs in 8,000 tokens, `dist/llms-full.txt` all pages.
 *
 *   deno run -A tools/llms.ts     writes them anew
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFile(join(root, path), "utf8");

/** Characters of the small text: 8,000 tokens, by 3.7 characters a token (o200k). */
export const MAX_SMALL = 29_500;

/** Makes the texts, by their paths in the repository; `dist/` is not kept. */
export async function llmsTexts(): Promise<Map<string, string>> {
  const [, shelves] = (await read("README.md")).split("\n## Documentation\n");
  const pages = [...shelves.matchAll(/\[([^\]]+)\]\((docs\/[\w-]+\.md)\)/g)];
  const lines: string[] = [];
  const full: string[] = [];
  for (const [, title, path] of pages) {
    const text = plain(await read(path));
    lines.push(`- [${title}](${path.slice("docs/".length)}): ${firstSentenceOf(text)}`);
    full.push(text);
  }
  const about =
    "> CQRS and distributed messaging in TypeScript for Deno and Bun, over NATS JetStream, a file, or memory.";
  return new Map([
    ["docs/llms.txt", `# Catga\n\n${about}\n\n${lines.join("\n")}\n`],
    ["docs/llms-small.txt", await small()],
    ["dist/llms-full.txt", full.join("\n")],
  ]);
}

/** Makes the text for an agent with little room: a beginning, choices, outcomes, mistakes, lint rules, signatures. */
async function small(): Promise<string> {
  const part = async (path: string, heading: string) => {
    const text = plain(await read(path));
    const [, found] = text.split(`\n${heading}\n`);
    if (found === undefined) throw new Error(`${path} has no ${heading}`);
    return `${heading.replace(/^#+/, "##")}\n${found.split(/\n##+ /)[0].trim()}`;
  };
  const before = (text: string, heading: string) => text.split(`\n${heading}\n`)[0].trim();
  const rules = [...plain(await read("docs/lint.md")).matchAll(/^## (catga\/\S+)\n\n([^]*?)\n\n/gm)]
    .map(([, rule, text]) => `- ${rule}: ${firstSentenceOf(`\n\n${text}`)}`);
  const reference = await read("docs/api/catga.md");
  const signatures = [...reference.matchAll(/^## function (\w+)\n\n[^]*?```\n\n([^]*?)\n\n/gm)]
    .map(([, name, text]) => `- ${name}: ${firstSentenceOf(`\n\n${text.replaceAll(/\]\([^)]*\)/g, "]")}`)}`);
  return `${
    [
      plain(await read("docs/agents.md")),
      plain(await read("docs/overview.md")),
      before(plain(await read("docs/choosing.md")), "## Limits"),
      before(plain(await read("docs/outcomes.md")), "## Details"),
      `## An entity\n\n${/```ts[^]*?```/.exec(plain(await read("docs/entities.md")))?.[0]}`,
      `## A workflow\n\n${/```ts[^]*?```/.exec(plain(await read("docs/workflows.md")))?.[0]}`,
      await part("docs/api.md", "## Options of contracts"),
      await part("docs/testing.md", "## The log"),
      await part("docs/testing.md", "### Fifteen mistakes"),
      `## Lint rules\n\n${rules.join("\n")}`,
      `## Functions of @catga/catga\n\n${signatures.join("\n")}`,
    ].map((text) => withoutLinks(text.trim())).join("\n\n")
  }\n`;
}

/** A page without pictures, what is not shown, the padding of its tables, and the link to the reference. */
function plain(page: string): string {
  return page.replaceAll(/<!--[^]*?-->\n*|!\[[^\]]*\]\([^)]*\)\n*/g, "")
    .replaceAll(/ ?\(\[API reference\]\(api\.md\)\)|\s?\[API reference\]\(api\.md\)(?=\n)/g, "")
    .replaceAll(/^```ts ([\w.-]+\.ts)?.*$/gm, (_, file) => file === undefined ? "```ts" : `\`\`\`ts ${file}`)
    .replaceAll(/^\|.*\|$/gm, (row) => row.replaceAll(/ {2,}/g, " ").replaceAll(/-{4,}/g, "---"))
    .replaceAll(/\n{3,}/g, "\n\n");
}

/** A text in which links are their words: who has this text alone cannot follow them. */
function withoutLinks(text: string): string {
  return text.split(/(^```[^]*?^```$)/m).map((part, i) =>
    i % 2 === 1 ? part : part.replaceAll(/(?<!\w)\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?:[\w./-]+\.md|)(?:#[\w-]*)?\)/g, "$1")
  ).join("");
}

/** The first sentence behind the title, in one line. */
function firstSentenceOf(text: string): string {
  const [first = ""] = text.split(/\n\n/).filter((part) => !/^(?:```|\||<|#)|^$/.test(part));
  const line = first.replaceAll(/\s+/g, " ").trim();
  return (/^.*?[.:](?= [A-Z`*[]|$)/.exec(line)?.[0] ?? line).replace(/:$/, ".");
}

if (import.meta.main) {
  await mkdir(join(root, "dist"), { recursive: true });
  for (const [path, text] of await llmsTexts()) {
    await writeFile(join(root, path), text);
    console.log(`${path}: ${text.length} characters`);
  }
}
