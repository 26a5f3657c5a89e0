/**
 * What of the house style a machine can hold.
 *
 * @module
 */
import { blank } from "./import_graph.ts";
import { isTestCode } from "./sources.ts";

/** What is found in a file. */
export interface Finding {
  /** `file:line: what is wrong and what to do`. */
  readonly text: string;
  /** Whether it only deserves a look. */
  readonly warning: boolean;
}

interface Pattern {
  readonly where: (path: string) => boolean;
  readonly what: RegExp;
  readonly says: string;
}

const shipped = (path: string) => path.startsWith("src/") && !isTestCode(path);
/** A program, and no library: where it begins, it may look around. */
const isProgram = (path: string) => path === "src/cli/main.ts";

const PATTERNS: readonly Pattern[] = [
  { where: shipped, what: /(?::|\bas|<|,)\s*any\b/g, says: "no any: unknown, and parsed at the border" },
  {
    where: (path) => shipped(path) && !isProgram(path),
    what: /\b(?:Deno|process|Bun|meta)\s*\.\s*env\b|\benv\b[^;]*\}\s*from\s*["'] *["']/g,
    says: "the environment is not read in src/: an option is",
  },
  {
    where: isTestCode,
    what: /\b(?:t|ctx|context|test)\s*\.\s*skip\s*\(\s*(?:["'`)])/g,
    says: "Deno 2.9 counts a test that skips itself as passed: give it { skip: reason }",
  },
];

/** Pages that are not in the repository; written so that this file does not point to them. */
const OUTSIDE = new RegExp(`\\b(?:FA${"CTS"}|DE${"SIGN"})\\b`, "g");

/** What is wrong with a file. */
export function styleFindings(path: string, source: string): Finding[] {
  const findings: Finding[] = [];
  if (/(^|\/)(utils?|helpers?|common|types|index)\.ts$/.test(path)) {
    findings.push({ text: `${path}: named after nothing: name it after its concept`, warning: false });
  }
  const lines = source.split("\n").length - 1;
  if (lines > 300) findings.push({ text: `${path}: ${lines} lines: look for the second concept`, warning: true });
  for (const { index } of source.matchAll(OUTSIDE)) {
    const line = source.slice(0, index).split("\n").length;
    const text = `${path}:${line}: points to a page that is not here: say it in docs/internals/measurements.md`;
    findings.push({ text, warning: false });
  }
  const code = blank(source);
  for (const { where, what, says } of PATTERNS) {
    if (!where(path)) continue;
    for (const { index } of code.matchAll(what)) {
      findings.push({ text: `${path}:${code.slice(0, index).split("\n").length}: ${says}`, warning: false });
    }
  }
  return findings;
}
