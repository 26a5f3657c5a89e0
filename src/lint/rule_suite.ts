/** What tests of rules have in common: source in, findings and the fixed source out. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";

/** Options of tests that lint: `deno lint` and its plugins are there in Deno alone. */
export const IN_DENO: { readonly skip: string | false } = {
  skip: "Deno" in globalThis ? false : "deno lint is there in Deno alone",
};

/** Source with findings. */
export interface BadSource {
  readonly source: string;
  /** The text of each finding, in order. */
  readonly at: readonly string[];
  /** What each message says. */
  readonly says: RegExp;
  /** The source with all fixes; as it is when there are none. */
  readonly fixed?: string;
}

/** What a rule is tried with. */
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

/** Tries one rule. */
export function ruleSuite(name: string, rule: Deno.lint.Rule, { head, bad, good }: RuleCases): void {
  describe(`catga/${name}`, IN_DENO, () => {
    for (const [what, { source, at, says, fixed: wanted = source }] of Object.entries(bad)) {
      it(`finds ${what}`, () => {
        const whole = `${head}\n${source}`;
        const findings = lint(name, rule, whole);
        assertEquals(
          findings.map(({ id, range }) => [id, whole.slice(...range)]),
          at.map((text) => [`catga/${name}`, text]),
        );
        for (const { message } of findings) assertMatch(message, says);
        assertEquals(fixed(whole, findings), `${head}\n${wanted}`);
        // what is fixed must not come back
        if (wanted !== source) assertEquals(lint(name, rule, fixed(whole, findings)), []);
      });
    }
    for (const [what, source] of Object.entries(good)) {
      it(`passes over ${what}`, () => {
        assertEquals(lint(name, rule, `${head}\n${source}`).map(({ message }) => message), []);
      });
    }
    it("passes over files that import nothing from @catga/catga", () => {
      const foreign = (text: string) => `${head}\n${text}`.replaceAll("@catga/catga", "./other.ts");
      assertEquals(Object.values(bad).flatMap(({ source }) => lint(name, rule, foreign(source))), []);
    });
  });
}
