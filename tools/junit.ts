/**
 * Reads the JUnit reports of `deno test` and `bun test`, and counts single tests: each `it` or `test` once, a
 * `describe` never.
 *
 * Deno 2.9.6 reports a `describe` and a `test` with subtests as a case beside the cases in it, whose names start with
 * its own and ` > `; the cases in a `describe` stand under a file of Deno's, not under the test's. So where one file
 * has a test named like another file's `describe`, the test is taken for a part of it: the count is never too high. Bun
 * 1.4.4 reports tests alone; a skipped `describe` is missing there.
 *
 * @module
 */

/** One test of a report. */
export interface Case {
  /** Its file; of a test in a `describe`, Deno does not say it. */
  readonly file: string;
  /** The names around it and its own, joined by ` > `. */
  readonly name: string;
  /** How it ended. */
  readonly outcome: "passed" | "failed" | "skipped";
  /** For a failed test: the error and its stack, as far as the runner reports them. */
  readonly error?: string | undefined;
}

/** The single tests of a report. */
export function readReport(xml: string): Case[] {
  const cases = [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(([, head, body = ""]) => {
    const file = attribute(head, "file");
    const name = attribute(head, "name") ?? "";
    const around = attribute(head, "classname") ?? "";
    const failure = body.match(/<(failure|error)\b([^>]*?)(?:\/>|>([\s\S]*?)<\/\1>)/);
    const error = failure ? unescaped(failure[3] ?? "") || attribute(failure[2], "message") : undefined;
    return {
      file: file ?? around,
      // Bun names the innermost `describe` first
      name: file === undefined || around === "" ? name : [...around.split(" > ").reverse(), name].join(" > "),
      outcome: failure ? "failed" : /<skipped\b/.test(body) ? "skipped" : "passed",
      error,
      // a `describe` fails with its tests, and by itself when one of its hooks throws
      ownFailure: failure !== null && !/ message="\d+ test steps? failed"/.test(failure[2]),
      fromDeno: file === undefined,
    } as const;
  });
  const around = new Set(cases.filter((one) => one.fromDeno).flatMap((one) => prefixes(one.name)));
  return cases.filter((one) => !one.fromDeno || !around.has(one.name) || one.ownFailure)
    .map(({ file, name, outcome, error }) => ({ file, name, outcome, error }));
}

/** The file that the tests of all files have in Deno's report, if they run with the sanitizers. */
const SANITIZER = "./tools/sanitized/node_test.ts";

/**
 * Seconds that each file took: in Bun as it reports them, in Deno the sum of what stands outermost in the file, without
 * the time in which the file was loaded. With the sanitizers, Deno's report does not tell.
 */
export function secondsOfFiles(xml: string): Map<string, number> {
  const seconds = new Map<string, number>();
  const add = (file: string, time: string | undefined) =>
    void seconds.set(file, (seconds.get(file) ?? 0) + Number(time ?? 0));
  for (const [, head] of xml.matchAll(/<testsuite\b([^>]*)>/g)) {
    const file = attribute(head, "file");
    if (file !== undefined && file === attribute(head, "name")) add(file, attribute(head, "time"));
  }
  for (const [, head] of xml.matchAll(/<testcase\b([^>]*?)\/?>/g)) {
    const file = attribute(head, "classname");
    if (attribute(head, "file") === undefined && file?.startsWith("./") && file !== SANITIZER) {
      add(file.slice(2), attribute(head, "time"));
    }
  }
  return seconds;
}

function prefixes(name: string): string[] {
  const parts = name.split(" > ");
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join(" > "));
}

function attribute(head: string, name: string): string | undefined {
  const found = head.match(new RegExp(`(?:^|\\s)${name}="([^"]*)"`));
  return found ? unescaped(found[1]) : undefined;
}

function unescaped(text: string): string {
  return text.replace(/&(#?\w+);/g, (whole, entity: string) => {
    if (entity.startsWith("#x")) return String.fromCodePoint(parseInt(entity.slice(2), 16));
    if (entity.startsWith("#")) return String.fromCodePoint(Number(entity.slice(1)));
    return { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }[entity] ?? whole;
  });
}
