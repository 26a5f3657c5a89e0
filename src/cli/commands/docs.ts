/**
 * `docs`: prints a page of the docs, or a part of one, as the package has it. Messages, alarms and `doctor` name such
 * parts. A package from JSR has its pages beside its modules: below their URL in Deno, as files in Bun and Node.
 * @decides `catga docs`: which part of a page is printed
 */
import { readFile } from "node:fs/promises";
import { thrownMessage } from "../../data/cause_text.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { UsageError } from "../terminal/flags.ts";
import { nearest } from "../terminal/nearest_name.ts";
import { bold, type Terminal } from "../terminal/terminal.ts";

/** The `docs` command of the tool. */
export const docs: CliCommand = {
  name: "docs",
  words: "[WORD]",
  summary: "prints a page of the docs, or a part of one",
  flags: [],
  more: `
WORD is what a message, an alarm or \`catga doctor\` names, as alarms#no-node: a
page, with a heading of it. Any other word, as OUTCOME_UNKNOWN, is looked for in
the headings of all pages. Without it the pages are listed.
The pages are those of this version, from the package. In Deno they are fetched
from where the package comes from. Connects to no server.`,
  async run([word], _flags, terminal) {
    const readme = await pageText("README.md");
    const names = pagesIn(readme, "docs/");
    if (word === undefined) {
      terminal.write(shown(partOf(readme, "documentation") ?? readme, "", terminal));
      return DONE;
    }
    const [name, anchor] = word.replace(/^docs\//, "").replace(/\.md\b/, "").split("#");
    for (const folder of names.filter((each) => name.startsWith(`${each}/`) || each === "api")) {
      names.push(...pagesIn(await pageText(`docs/${folder}.md`), "").filter((each) => each.startsWith(`${folder}/`)));
    }
    if (!names.includes(name)) return await search(word, names, terminal);
    const text = await pageText(`docs/${name}.md`);
    const part = anchor === undefined ? text : partOf(text, anchor);
    if (part === undefined) {
      const near = nearest(anchor, headingsOf(text).map((heading) => heading.anchor));
      throw new UsageError(`${name} has no part ${JSON.stringify(anchor)}${near ? `; did you mean ${near}?` : ""}`);
    }
    terminal.write(shown(part, name, terminal));
    return DONE;
  },
};

/** Returns the pages that a page links to, each once. */
function pagesIn(text: string, folder: string): string[] {
  const links = text.matchAll(/\]\(([\w/-]+)\.md[)#]/g);
  const names = [...links].flatMap(([, path]) => path.startsWith(folder) ? [path.slice(folder.length)] : []);
  return [...new Set(names)];
}

/** Prints the only part whose heading is, or has, the word; or where there are such parts. */
async function search(word: string, names: readonly string[], terminal: Terminal): Promise<number> {
  const wanted = word.toLowerCase();
  const found: { readonly name: string; readonly anchor: string; readonly title: string; readonly text: string }[] = [];
  for (const name of names) {
    const text = await pageText(`docs/${name}.md`);
    for (const { anchor, title } of headingsOf(text)) {
      if (anchor.includes(wanted) || title.toLowerCase().includes(wanted)) found.push({ name, anchor, title, text });
    }
  }
  if (found.length === 0) {
    const near = nearest(word, names);
    const hint = near === undefined ? "`catga docs` lists the pages" : `did you mean ${near}?`;
    terminal.say(`no page and no heading has ${JSON.stringify(word)}; ${hint}`);
    return FAILED;
  }
  const whole = found.filter(({ title }) => title.toLowerCase() === wanted);
  const [only, ...others] = whole.length === 1 ? whole : found;
  if (others.length === 0) terminal.write(shown(partOf(only.text, only.anchor)!, only.name, terminal));
  else terminal.write(found.map(({ name, anchor, title }) => `catga docs ${name}#${anchor}  ${title}\n`).join(""));
  return DONE;
}

/** Returns the text of a file of the package. */
async function pageText(path: string): Promise<string> {
  const url = new URL(`../../../${path}`, import.meta.url);
  try {
    if (url.protocol === "file:") return await readFile(url, "utf8");
    const response = await fetch(url);
    if (response.ok) return await response.text();
    await response.body?.cancel();
    throw new Error(`${response.status} ${response.statusText}`);
  } catch (error) {
    throw new Error(`cannot read ${url}: ${thrownMessage(error)}`, { cause: error });
  }
}

interface Heading {
  readonly level: number;
  readonly title: string;
  /** As GitHub makes it. */
  readonly anchor: string;
  /** Number of its line, from 0. */
  readonly line: number;
}

/** Returns the headings of a page, without comments of shell programs in its examples. */
function headingsOf(text: string): Heading[] {
  let isCode = false;
  return text.split("\n").flatMap((content, line) => {
    if (content.trimStart().startsWith("```")) isCode = !isCode;
    const [, marks, title] = isCode ? [] : /^(#+) (.*)$/.exec(content) ?? [];
    if (marks === undefined) return [];
    const anchor = title.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-");
    return [{ level: marks.length, title: title.replaceAll("`", ""), anchor, line }];
  });
}

/** Returns the part of a page from this heading on, up to the next of its level; `undefined`: it has none. */
function partOf(text: string, anchor: string): string | undefined {
  const headings = headingsOf(text);
  const at = headings.findIndex((heading) => heading.anchor === anchor);
  if (at === -1) return undefined;
  const end = headings.slice(at + 1).find(({ level }) => level <= headings[at].level)?.line;
  return text.split("\n").slice(headings[at].line, end).join("\n");
}

/** Returns Markdown as a terminal shows it: links as what `catga docs` takes, without comments and pictures. */
function shown(text: string, page: string, terminal: Terminal): string {
  return `${text.replaceAll(/<!--[^]*?-->\n*|!\[[^\]]*\]\([^)]*\)\n*/g, "").trim()}\n`
    .replaceAll(/\[([^\]]*)\]\(([^)\s]+)\)/g, (_, title: string, link: string) => {
      const [, name = page, anchor] = /^(?:docs\/)?([\w/-]+)?(?:\.md)?(#.*)?$/.exec(link) ?? [];
      return /^[a-z]+:|\.\.\//.test(link) ? `${title} (${link})` : `${title} (${name}${anchor ?? ""})`;
    })
    .replaceAll(/^#+ (.*)$/gm, (_, title: string) => bold(terminal, title.replaceAll("`", "")));
}
