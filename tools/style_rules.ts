/**
 * The rules of the house style that a machine can check.
 *
 * @module
 */
import { blank } from "./import_graph.ts";
import { isTestCode } from "./sources.ts";

interface Pattern {
  readonly where: (path: string) => boolean;
  readonly what: RegExp;
  readonly says: string;
}

const shipped = (path: string) => path.startsWith("src/") && !isTestCode(path);
/** A program, not a library: it may read its environment. */
const isProgram = (path: string) => path === "src/cli/main.ts";

const PATTERNS: readonly Pattern[] = [
  { where: shipped, what: /(?::|\bas|<|,)\s*any\b/g, says: "no any: unknown, and parsed at the border" },
  {
    where: (path) => shipped(path) && !isProgram(path),
    what: /\b(?:Deno|process|Bun|meta)\s*\.\s*env\b|\benv\b[^;]*\}\s*from\s*["'] *["']/g,
    says: "the environment is not read in src/: an option is",
  },
  { where: shipped, what: /^\s*(?:await )?using \w+ =/gm, says: "Node 22 cannot read `using`: try and finally" },
  {
    where: isTestCode,
    what: /\b(?:t|ctx|context|test)\s*\.\s*skip\s*\(\s*(?:["'`)])/g,
    says: "Deno 2.9 counts a test that skips itself as passed: give it { skip: reason }",
  },
];

/** Pages outside of the repository; in two parts each, so that this file does not cite them itself. */
const OUTSIDE = new RegExp(`\\b(?:FA${"CTS"}|DE${"SIGN"})\\b`, "g");

/** What in a file is against the rules; its path from the root of the repository decides which of them apply. */
export function styleFindings(path: string, source: string): string[] {
  const findings: string[] = [];
  if (/(^|\/)(utils?|helpers?|common|types|index)\.ts$/.test(path)) {
    findings.push(`${path}: a name without a concept: name it after what it holds`);
  }
  for (const { index } of source.matchAll(OUTSIDE)) {
    const line = source.slice(0, index).split("\n").length;
    const text =
      `${path}:${line}: cites a page outside of the repository: move what it says to docs/internals/measurements.md`;
    findings.push(text);
  }
  const code = blank(source);
  findings.push(...tooWide(path, source, code), ...withoutSubject(path, source));
  for (const { where, what, says } of PATTERNS) {
    if (!where(path)) continue;
    for (const { index } of code.matchAll(what)) {
      findings.push(`${path}:${code.slice(0, index).split("\n").length}: ${says}`);
    }
  }
  return findings;
}

/** The start of a doc comment without a subject, in code that strangers read first. */
const NO_SUBJECT = /\/\*\*\s+(?:\* )?(?:What|Whether|Those|The same|Of|It) /g;
/** The start of such a comment anywhere else. */
const WHETHER = /\/\*\*\s+(?:\* )?Whether /g;

/** Finds doc comments whose first word stands for a noun that the reader has to guess. */
function withoutSubject(path: string, source: string): string[] {
  const pattern = shipped(path) || path.startsWith("examples/") ? NO_SUBJECT : WHETHER;
  return Array.from(source.matchAll(pattern), ({ index, 0: start }) => {
    const line = source.slice(0, index).split("\n").length;
    return `${path}:${line}: a comment begins with "${start.replace(/^[/*\s]+/, "").trim()}": name its subject`;
  });
}

/** The formatter keeps code to these columns, and leaves comments as they are. */
const MAX_COLUMNS = 120;
/** The start of a comment, also one after code; except for tables, directives, and promises that a test names. */
const COMMENT = /^\s*(?:\/\/+|\/?\*+)(?![/*])(?! ?(?:\||deno-|docs\/))/;

/** `code`: the source without its comments. */
function tooWide(path: string, source: string, code: string): string[] {
  let example = false;
  const codeLines = code.split("\n");
  return source.split("\n").flatMap((line, index) => {
    const isComment = COMMENT.test(line.slice(codeLines[index].trimEnd().length));
    if (isComment && line.includes("```")) example = !example;
    if (line.length <= MAX_COLUMNS || example || !isComment) return [];
    const text = `${path}:${index + 1}: a comment that ends in column ${line.length}: ${MAX_COLUMNS} at most`;
    return [text];
  });
}
