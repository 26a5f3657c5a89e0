import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { exploredPictures } from "./explored_pictures.ts";

it("the pictures of runs are what the product does: a command and a query, a durable event, an id, a workflow", async () => {
  const pictures = await exploredPictures();
  assertEquals(pictures.size, 4);
  for (const [path, picture] of pictures) {
    const drawn = await readFile(new URL(`../${path}`, import.meta.url), "utf8");
    assertEquals(drawn, picture, `${path}: deno run -A tools/explored_pictures.ts`);
  }
});
