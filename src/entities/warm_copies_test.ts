import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { entity } from "../../mod.ts";
import { blank } from "./entity_copy.ts";
import { WarmCopies } from "./warm_copies.ts";

const { "~entity": definition } = entity("Box", { initial: () => 0 as unknown });

describe("warm copies", () => {
  it("those used last stay, as far as there is room", () => {
    const { size } = blank(definition, "1");
    const warm = new WarmCopies(3 * size);
    for (const id of ["1", "2", "3"]) warm.keep(id, blank(definition, id));
    warm.keep("1", blank(definition, "1"));
    warm.keep("4", blank(definition, "4"));
    assertEquals(["1", "2", "3", "4"].map((id) => warm.get(id)?.id), ["1", undefined, "3", "4"]);
    assertEquals(warm.size, 3 * size);
    warm.drop("3");
    assertEquals(warm.size, 2 * size);
  });

  it("one that does not fit alone is not kept", () => {
    const warm = new WarmCopies(10);
    warm.keep("1", blank(definition, "1"));
    assertEquals(warm.size, 0);
  });
});
