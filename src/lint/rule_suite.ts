/** Suite for a lint rule: its findings in sources, and the sources after its fixes. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";

/** Options of tests that need `deno lint` or its plugins; the tests are skipped outside Deno. */
export const IN_DENO: { readonly skip: string | false } = {
  skip: "Deno" in globalThis ? false : "only Deno has deno lint",
};

/** A source in which the rule must find something. */
export interface BadSource {
  readonly source: string;
  /** The text that each finding marks, in order. */
  readonly at: readonly string[];
  /** Pattern that the message of each finding matches. */
  readonly says: RegExp;
  /** The source after all fixes; omitted if the fixes change nothing. */
  readonly fixed?: string;
}

/** The sources with which a rule is tested. */
export interface RuleCases {
  /** Text before each source: imports and constants. */
  readonly head: string;
  readonly bad: Readonly<Record<string, BadSource>>;
  readonly good: Readonly<Record<string, string>>;
}

/** Returns the findings of one rule in a source, in the order of their places. */
export function lint(name: string, rule: Deno.lint.Rule, source: string): Deno.lint.Diagnostic[] {
  const plugin = { name: "catga", rules: { [name]: rule } };
  return Deno.lint.runPlugin(plugin, "source.ts", source).sort((a, b) => a.range[0] - b.range[0]);
}

/** Returns the source with all fixes of these findings. */
export function fixed(source: string, findings: readonly Deno.lint.Diagnostic[]): string {
  const fixes = findings.flatMap(({ fix = [] }) => fix).sort((a, b) => b.range[0] - a.range[0]);
  return fixes.reduce(
    (text, { range: [from, to], text: put = "" }) => text.slice(0, from) + put + text.slice(to),
    source,
  );
}

/** Declares the tests of one rule. */
export function ruleSuite(name: string, rule: Deno.lint.Rule, { head, bad, good }: RuleCases): void {
  describe(`catga/${name}`, IN_DENO, () => {
    for (const [what, { source, at, says, fixed: wanted = source }] of Object.entries(bad)) {
      it(`reports ${what}`, () => {
        const whole = `${head}\n${source}`;
        const findings = lint(name, rule, whole);
        assertEquals(
          findings.map(({ id, range }) => [id, whole.slice(...range)]),
          at.map((text) => [`catga/${name}`, text]),
        );
        for (const { message } of findings) assertMatch(message, says);
        assertEquals(fixed(whole, findings), `${head}\n${wanted}`);
        if (wanted !== source) assertEquals(lint(name, rule, fixed(whole, findings)), []);
      });
    }
    for (const [what, source] of Object.entries(good)) {
      it(`does not report ${what}`, () => {
        assertEquals(lint(name, rule, `${head}\n${source}`).map(({ message }) => message), []);
      });
    }
    it("does not report files that import nothing from @catga/catga", () => {
      const foreign = (text: string) => `${head}\n${text}`.replaceAll("@catga/catga", "./other.ts");
      assertEquals(Object.values(bad).flatMap(({ source }) => lint(name, rule, foreign(source))), []);
    });
  });
}
