import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { isPattern, matcher, overlap } from "./subject_match.ts";

describe("subject match", () => {
  it("matcher: literals, * for one token, > for one or more at the end", () => {
    const cases: [string, string[], string[]][] = [
      ["a", ["a"], ["a.b", "b", "aa"]],
      ["a.*", ["a.b", "a.c"], ["a", "a.b.c", "b.a"]],
      ["a.>", ["a.b", "a.b.c"], ["a", "b.a"]],
      [">", ["a", "a.b"], []],
      ["*.b.>", ["a.b.c", "x.b.c.d"], ["a.b", "b.b", "a.c.c"]],
      ["a*", ["a*"], ["ab", "a"]],
    ];
    for (const [pattern, yes, no] of cases) {
      const matches = matcher([pattern]);
      assertEquals([yes.filter((each) => !matches(each)), no.filter(matches)], [[], []], pattern);
    }
    const several = matcher(["a", "b.*"]);
    assertEquals(["a", "b.c", "b", "c"].filter(several), ["a", "b.c"]);
  });

  it("isPattern: whether there is a token that is a wildcard", () => {
    assertEquals(["a", "a.*", "*", ">", "a.>", "a*", "a.b>"].filter(isPattern), ["a.*", "*", ">", "a.>"]);
  });

  it("overlap: whether a subject matches both", () => {
    const yes = [["a", "a"], ["a.*", "a.b"], ["a.>", "a.b.c"], ["*.b", "a.*"], [">", "a"], ["a.*.c", "a.>"]];
    const no = [["a", "b"], ["a.*", "a"], ["a.>", "a"], ["a.b", "a.b.c"], ["*.b", "a.c"], ["a.*", "b.>"]];
    assertEquals(yes.filter(([one, other]) => !overlap(one, other) || !overlap(other, one)), []);
    assertEquals(no.filter(([one, other]) => overlap(one, other) || overlap(other, one)), []);
  });
});
