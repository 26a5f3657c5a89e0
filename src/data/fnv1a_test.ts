import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fnv1a } from "./rendezvous_hash.ts";

describe("fnv1a", () => {
  it("agrees with the published vectors of FNV-1a, 32 bit", () => {
    assertEquals(fnv1a(""), 0x811c9dc5);
    assertEquals(fnv1a("a"), 0xe40c292c);
    assertEquals(fnv1a("foobar"), 0xbf9cf968);
  });

  it("continues from the hash of a text that came before", () => {
    assertEquals(fnv1a("bar", fnv1a("foo")), fnv1a("foobar"));
  });
});
