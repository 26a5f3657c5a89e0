/** Tests of values that JSON lacks on the wire: requests, answers and events with tags. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { command, event, query } from "../../contract/declaration/definition.ts";
import { fail } from "../../contract/calls/result.ts";
import { openStage } from "../../../test/support/stage.ts";

const Give = query<string, unknown>("Give");
const Take = command<unknown, void>("Take");
const Told = event<unknown>("Told");

const GIFTS: Readonly<Record<string, () => unknown>> = {
  date: () => new Date(0),
  loose: () => ({ a: undefined, b: -0, c: 1 }),
  details: () => fail("NO", "no", { details: { at: new Date(0) } }),
};
const give = Give.handle((name) => GIFTS[name]());
const ALL = ["Take", "Told", "Give"];

describe("values that JSON lacks", () => {
  it("stand as tags in requests and in answers", async () => {
    await using stage = await openStage({ handlers: give });
    const { app, other, settle } = stage;
    await other.register(ALL);
    await settle();
    const sent = app.send(Take, { at: new Date(5) });
    await settle();
    assertEquals(other.items("Q").map(([, name, , payload]) => [name, payload]), [["Take", { at: "~Date:5" }]]);
    other.send(app.self.endpoint, ["r", other.frames.at(-1)!.seq, 0]);
    await settle();
    assertEquals((await sent).ok, true);
    other.send(app.self.endpoint, ["q", "Give", 1_000, "date", "loose", "details"]);
    await settle();
    assertEquals(other.items("R", "E").map(([kind, , index, ...values]) => [kind, index, ...values]), [
      ["R", 0, "~Date:0", { a: "~undefined", b: "~-0", c: 1 }],
      ["E", 2, { code: "NO", message: "no", details: { at: "~Date:0" } }],
    ]);
  });
});

describe("an event with values that JSON lacks", () => {
  it("travels in batches of its own, marked", async () => {
    await using stage = await openStage({ handles: ALL });
    const { app, other, settle } = stage;
    const texts: string[] = [];
    other.transport.subscribe("catga.default.event.>", {}, ({ data }) => texts.push(new TextDecoder().decode(data)));
    for (const payload of [1, new Date(0), new Date(1), 2]) assertEquals((await app.publish(Told, payload)).ok, true);
    await settle();
    assertEquals(texts.map((text) => JSON.parse(text)).map(([version, , , , ...rest]) => [version, ...rest]), [
      [1, 1],
      ["~1", "~Date:0", "~Date:1"],
      [1, 2],
    ]);
  });
});

describe("a frame with a tag that is none", () => {
  it("is dropped and counted, and the node goes on", async () => {
    const taken: unknown[] = [];
    await using stage = await openStage({
      handlers: [Take.handle((payload) => void taken.push(payload)), Told.on((payload) => taken.push(payload))],
    });
    const { app, other, settle, clock } = stage;
    other.send(app.self.endpoint, ["q", "Take", 1_000, 1], ["Q", "Take", 1_000, { __proto__: null, a: "~Date:x" }]);
    const event = JSON.stringify(["~1", other.endpoint, clock.now(), { seq: 1 }, "~Date:0", "~Map"]);
    other.transport.publish("catga.default.event.Told", event);
    other.send(app.self.endpoint, ["Q", "Take", 1_000, "~Date:3"]);
    await settle();
    assertEquals(taken, [new Date(3)]);
    await clock.advance(60_000);
    assert(stage.log.some((line) => line.includes("malformed") || line.includes("invalid tags")), stage.log.join("\n"));
  });
});
