/** The suite for a lint rule: its findings in sources, and the sources after its fixes. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";

/** Options of tests that run `deno lint` or its plugins, which only Deno has. */
export const IN_DENO: { readonly skip: string | false } = {
  skip: "Deno" in globalThis ? false : "only Deno has deno lint",
};

/** Source with findings. */
export interface BadSource {
  readonly source: string;
  /** The text of each finding, in order. */
  readonly at: readonly string[];
  /** Matches each message. */
  readonly says: RegExp;
  /** The source with all fixes; unchanged if omitted. */
  readonly fixed?: string;
}

/** The sources for a rule. */
export interface RuleCases {
  /** Written before each source: imports and constants. */
  readonly head: string;
  readonly bad: Readonly<Record<string, BadSource>>;
  readonly good: Readonly<Record<string, string>>;
}

/** The findings of one rule. */
export function lint(name: string, rule: Deno.lint.Rule, source: string): Deno.lint.Diagnostic[] {
  const plugin = { name: "catga", rules: { [name]: rule } };
  return Deno.lint.runPlugin(plugin, "source.ts", source).sort((a, b) => a.range[0] - b.range[0]);
}

/** The source with all fixes of these findings. */
export function fixed(source: string, findings: readonly Deno.lint.Diagnostic[]): string {
  const fixes = findings.flatMap(({ fix = [] }) => fix).sort((a, b) => b.range[0] - a.range[0]);
  return fixes.reduce(
    (text, { range: [from, to], text: put = "" }) => text.slice(0, from) + put + text.slice(to),
    source,
  );
}

/** The tests of one rule. */
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
        // the fixed source has no findings
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
