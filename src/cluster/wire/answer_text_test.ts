/** Nodes that read tags, and nodes that read JSON only, as those of version 0.1 do. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { command, event, query } from "../../contract/definition.ts";
import { fail } from "../../contract/result.ts";
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

describe("a node that reads tags", () => {
  it("gets them in requests, and in answers", async () => {
    await using stage = await openStage({ handlers: give });
    const { app, other, settle } = stage;
    await other.register(ALL, { encoding: 1 });
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

describe("a node that reads JSON only", () => {
  it("gets no request with other values: INVALID_MESSAGE says which node it is", async () => {
    await using stage = await openStage({ handles: ALL });
    const { app, other, settle } = stage;
    const { error } = await app.send(Take, { at: new Date(5) });
    assertEquals(error?.code, "INVALID_MESSAGE");
    assertEquals(
      error?.message,
      "the payload of Take has values that JSON lacks: node other runs Catga 0.0.0, which reads JSON only; upgrade it, or send JSON",
    );
    const [result] = await app.broadcast(Take, 1n);
    assertEquals([result.node, result.result.error?.code], ["other", "INVALID_MESSAGE"]);
    await settle();
    assertEquals(other.frames, []);
  });

  it("gets what JSON nearly has, as before: without undefined members and the sign of 0", async () => {
    await using stage = await openStage({ handles: ALL, handlers: give });
    const { app, other, settle } = stage;
    const sent = app.send(Take, { a: undefined, b: -0, c: [1] });
    await settle();
    assertEquals(other.items("q").map(([, , , payload]) => payload), [{ b: 0, c: [1] }]);
    other.send(app.self.endpoint, ["r", other.frames.at(-1)!.seq, 0]);
    await settle();
    assertEquals((await sent).ok, true);
    other.send(app.self.endpoint, ["q", "Give", 1_000, "loose"]);
    await settle();
    assertEquals(other.items("r").at(-1)![3], { b: 0, c: 1 });
  });

  it("gets INVALID_RESPONSE for an answer with other values, and details as JSON", async () => {
    await using stage = await openStage({ handles: ALL, handlers: give });
    const { app, other, settle, log } = stage;
    other.send(app.self.endpoint, ["q", "Give", 1_000, "date", "details"]);
    await settle();
    const [[, , , first], [, , , second]] = other.items("e") as [string, number, number, Record<string, unknown>][];
    assertEquals(first.code, "INVALID_RESPONSE");
    assertStringIncludes(first.message as string, "node other, which sent the message, runs an older Catga");
    assertEquals([second.code, second.details], ["NO", { at: new Date(0).toJSON() }]);
    assert(log.some((line) => line.startsWith("error") && line.includes("answering failed")), log.join("\n"));
  });

  it("keeps an event with other values from being published while it handles that event", async () => {
    await using stage = await openStage({ handles: ALL });
    const { app, other, settle } = stage;
    const texts: string[] = [];
    other.transport.subscribe("catga.default.event.>", {}, ({ data }) => texts.push(new TextDecoder().decode(data)));
    const { error } = await app.publish(Told, { at: new Date(0) });
    assertEquals(error?.code, "INVALID_MESSAGE");
    assertStringIncludes(error!.message, "the event of Told has values that JSON lacks: node other runs Catga 0.0.0");
    assertEquals((await app.publish(Told, { a: undefined, b: 1 })).ok, true);
    await settle();
    assertEquals(texts.map((text) => JSON.parse(text).slice(4)), [[{ b: 1 }]]);
    await other.register(ALL, { encoding: 1 });
    await settle();
    for (const payload of [1, new Date(0), new Date(1), 2]) assertEquals((await app.publish(Told, payload)).ok, true);
    await settle();
    assertEquals(texts.slice(1).map((text) => JSON.parse(text)).map(([version, , , , ...rest]) => [version, ...rest]), [
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
