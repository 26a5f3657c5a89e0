import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { alternate } from "./rounds.ts";

describe("rounds", () => {
  it("alternate: everybody plays once in each, and who begins changes", async () => {
    const played: string[] = [];
    const player = (name: string) => ({ name, play: () => Promise.resolve(played.push(name)) });
    const outcomes = await alternate([player("a"), player("b")], 3);
    assertEquals(played.join(""), "abbaab");
    assertEquals([...outcomes], [["a", [1, 4, 5]], ["b", [2, 3, 6]]]);
  });

  it("alternate: what fails is not left out", async () => {
    await assertRejects(
      () => alternate([{ name: "a", play: () => Promise.reject(new Error("broken")) }], 1),
      Error,
      "broken",
    );
  });

  it("alternate: who can be left out is, with what went wrong; the others play on", async () => {
    const errors: unknown[] = [];
    let played = 0;
    const flaky = {
      name: "flaky",
      play: () => ++played === 2 ? Promise.reject(new Error("broken")) : Promise.resolve(1),
      drop: (error: unknown) => void errors.push((error as Error).message),
    };
    const outcomes = await alternate([flaky, { name: "sound", play: () => Promise.resolve(2) }], 3);
    assertEquals([...outcomes], [["flaky", []], ["sound", [2, 2, 2]]]);
    assertEquals([errors, played], [["broken"], 2]);
  });
});
