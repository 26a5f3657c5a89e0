import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { command } from "../../mod.ts";
import { explore } from "./explore.ts";
import { ExploreError } from "./explore_error.ts";

const Count = command<void, number>("Count");

describe("the picture of a red seed", () => {
  it("has nodes as lines, messages and answers as arrows, faults as bands, and texts as they are", async () => {
    const error = await assertRejects(() =>
      explore({
        nodes: 1,
        handlers: () => {
          let count = 0;
          return Count.handle(() => ++count);
        },
        workload: async ({ app, clock }) => {
          for (let i = 0; i < 4; i++) {
            void (await app.send(Count));
            await clock.sleep(10);
          }
        },
        check: () => {
          throw new Error("counted 1 < 2 & 1");
        },
        replay: "seed 5; kill app-1 on 2 operation begins command Count after 0 for 1",
      }), ExploreError);
    const { picture } = error;
    const count = (text: string) => picture.split(text).length - 1;
    assertStringIncludes(picture, ">seed 5: counted 1 &#60; 2 &#38; 1</text>");
    assertEquals([count(">client-1</text>"), count(">app-1</text>")], [1, 1]);
    assertEquals(count('<line class="node"'), 3, "a line for each process");
    assertEquals([count('<rect class="fault"'), count(">×</text>")], [1, 1]);
    assertEquals([count('<line class="message"'), count('<line class="answer"')], [4, 4]);
    assertEquals(count("<text"), count("</text>"));
  });

  it("ends the box of a handler where its process is killed, though it has no end", async () => {
    const error = await assertRejects(() =>
      explore({
        nodes: 1,
        handlers: () => Count.handle((_, ctx) => ctx.clock.sleep(100).then(() => 1)),
        workload: async ({ app }) => {
          void (await app.send(Count));
        },
        check: () => {
          throw new Error("red");
        },
        replay: "seed 1; kill app-1 at 50 for 60000",
      }), ExploreError);
    const [, top, height] = /<rect class="handler" x="\d+" y="(\d+)" width="8" height="(\d+)"/.exec(error.picture)!;
    const [, end] = /<text class="end" x="\d+" y="(\d+)">×</.exec(error.picture)!;
    // a box is drawn 5 beyond the row in which it ends, and the cross 5 below its row
    assertEquals(Number(top) + Number(height), Number(end));
  });
});
