import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { CatgaError, entity } from "../../mod.ts";
import { encodeEmitted } from "./command.ts";
import { blank } from "./entity_copy.ts";

const Box = entity<unknown>("Box", { initial: () => [] });
Box.event<{ n: unknown }>("Put", (all, { n }) => [...all as unknown[], n]);
const put = (n: unknown) => ({ event: "Box.Put", payload: { n } });
const emitted = (count: number, { n, value }: { n: unknown; value?: unknown }) =>
  encodeEmitted(blank(Box["~entity"], "b"), {
    name: "Fill",
    events: Array.from({ length: count }, () => put(n)),
    value,
  });

describe("what a command has emitted", () => {
  it("is text, and the state is made of what is read from it", () => {
    const given = { at: new Date(7) };
    const { items, state, result } = emitted(2, { n: given, value: 3 });
    given.at.setTime(8);
    assertEquals(items.map((text) => text.slice(0, 6)), ['["Put"', '["Put"']);
    assertEquals([state, result], [[{ at: new Date(7) }, { at: new Date(7) }], "3"]);
    assertEquals(emitted(1, { n: 1 }).result, undefined);
  });

  it("is refused when it is too much, or cannot be sent", () => {
    const codeOf = (run: () => unknown) => assertThrows(run, CatgaError).code;
    assertEquals(codeOf(() => emitted(513, { n: 1 })), "TOO_LARGE");
    assertEquals(codeOf(() => emitted(1, { n: () => {} })), "INVALID_MESSAGE");
    assertEquals(codeOf(() => emitted(1, { n: 1, value: () => {} })), "INVALID_RESPONSE");
  });
});
