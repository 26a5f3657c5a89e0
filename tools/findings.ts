/**
 * The findings: scripts in `findings/` that show one surprise of outside software each. Their first lines are comments:
 * the behaviour, what one would expect, what was seen, the versions, and where Catga takes account of it.
 *
 *   deno run -A tools/findings.ts        writes the table in findings/README.md
 *
 * @module
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A script's first lines. */
export interface Finding {
  /** The name of its file, without the ending. */
  readonly name: string;
  readonly behaviour: string;
  readonly expected: string;
  readonly seen: string;
  readonly versions: string;
  /** Files and folders, from the root of the repository. */
  readonly places: readonly string[];
}

/** The page with the table. */
export const FINDINGS_PAGE = "findings/README.md";

const HEAD = /^#!.*\n# (.+)\n# Expected: (.+)\n# Seen: (.+)\n# In version: (.+)\n# Catga: (.+)\n/;

/** All findings, by name; throws for a script without these lines. */
export async function readFindings(root: string): Promise<readonly Finding[]> {
  const folder = join(root, "findings");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".sh") && name !== "run_all.sh").sort();
  return await Promise.all(names.map(async (file) => {
    const found = HEAD.exec(await readFile(join(folder, file), "utf8"));
    if (found === null) {
      throw new Error(`findings/${file}: its first lines are not the behaviour, Expected, Seen, In version and Catga`);
    }
    const [, behaviour, expected, seen, versions, places] = found;
    return { name: file.replace(/\.sh$/, ""), behaviour, expected, seen, versions, places: places.split(", ") };
  }));
}

/** The table in {@link FINDINGS_PAGE}. */
export function findingsTable(findings: readonly Finding[]): string {
  const rows = findings.map(({ name, behaviour, expected, seen, versions, places }) => {
    const links = places.map((place) => `[${place}](../${place})`).join(", ");
    return [`[${name}](${name}.sh)`, behaviour, expected, seen, versions, links];
  });
  const table = [["finding", "behaviour", "expected", "seen", "version", "in Catga"], Array(6).fill("---"), ...rows];
  return table.map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`).join("");
}

/** The page with this table in place of its own. */
export function withTable(page: string, table: string): string {
  const [begin, end] = ["<!-- deno-fmt-ignore-start -->\n", "<!-- deno-fmt-ignore-end -->\n"];
  const [before, rest] = [page.indexOf(begin), page.indexOf(end)];
  if (before < 0 || rest < before) throw new Error(`${FINDINGS_PAGE} has no place for its table: ${begin}${end}`);
  return `${page.slice(0, before + begin.length)}\n${table}\n${page.slice(rest)}`;
}

if (import.meta.main) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const page = join(root, FINDINGS_PAGE);
  await writeFile(page, withTable(await readFile(page, "utf8"), findingsTable(await readFindings(root))));
}
