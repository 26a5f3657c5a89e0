import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { SubjectTrie } from "./subject_trie.ts";

const TOKENS = ["a", "b", "c"];
const PATTERN_TOKENS = [...TOKENS, "*"];

describe("SubjectTrie", () => {
  it("match: finds what a comparison with every pattern finds, while patterns are added and deleted", () => {
    const random = numbers(7);
    const pick = (tokens: readonly string[]) => tokens[Math.floor(random() * tokens.length)];
    const join = (tokens: readonly string[]) =>
      Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(tokens)).join(".");
    const trie = new SubjectTrie<number>();
    const there = new Map<number, string>();
    for (let i = 0; i < 2_000; i++) {
      const pattern = random() < 0.7 ? join(PATTERN_TOKENS) : random() < 0.2 ? ">" : `${join(PATTERN_TOKENS)}.>`;
      trie.add(pattern, i);
      there.set(i, pattern);
      if (there.size > 60) {
        const [[oldest, gone]] = there;
        trie.delete(gone, oldest);
        there.delete(oldest);
      }
      const subject = join(TOKENS);
      const expected = [...there].filter(([, each]) => matches(each, subject)).map(([value]) => value);
      assertEquals(trie.match(subject).sort((a, b) => a - b), expected, subject);
    }
  });

  it("delete: does nothing for a value that is not there", () => {
    const trie = new SubjectTrie<string>();
    trie.add("a.b", "kept");
    for (const pattern of ["a", "a.b.c", "a.*", ">", "x"]) trie.delete(pattern, "kept");
    trie.delete("a.b", "other");
    assertEquals(trie.match("a.b"), ["kept"]);
  });
});

function matches(pattern: string, subject: string): boolean {
  const tokens = pattern.split(".").map((token) => token === "*" ? "[^.]+" : token === ">" ? ".+" : token);
  return new RegExp(`^${tokens.join("\\.")}$`).test(subject);
}

/** Returns a generator of the same random numbers on every run (mulberry32). */
function numbers(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
