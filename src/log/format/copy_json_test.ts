import { assertEquals, assertNotStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { copyJson } from "./run_request.ts";

describe("copyJson", () => {
  it("equals the value, and shares nothing with it", () => {
    const value = JSON.parse('{"a":[1,{"b":null}],"c":"x","d":{},"e":false}');
    const copy = copyJson(value) as typeof value;
    assertEquals(copy, value);
    for (const [one, other] of [[copy, value], [copy.a, value.a], [copy.a[1], value.a[1]], [copy.d, value.d]]) {
      assertNotStrictEquals(one, other);
    }
    assertEquals([null, 1, "", true].map((each) => copyJson(each)), [null, 1, "", true]);
  });

  it("keeps a member called __proto__ a member", () => {
    const copy = copyJson(JSON.parse('{"__proto__":{"polluted":1}}')) as Record<string, unknown>;
    assertEquals([Object.keys(copy), copy.polluted, Object.getPrototypeOf(copy) === Object.prototype], [
      ["__proto__"],
      undefined,
      true,
    ]);
  });
});
