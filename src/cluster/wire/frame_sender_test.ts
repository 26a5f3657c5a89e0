/** Tests of the frames that leave for another process, byte by byte, and of the answers to them. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { command, query } from "../../contract/declaration/definition.ts";
import { unwrap } from "../../contract/calls/result.ts";
import { openStage, Player, type Stage } from "../../../test/support/stage.ts";

const Echo = query<unknown, unknown>("Echo");
const Do = command<unknown, unknown>("Do");
const HANDLES = ["Do", "Echo"];

/** Returns the payloads of the requests that have arrived at the other process, frame by frame. */
const requests = ({ other }: Stage): unknown[][] =>
  other.frames.map(({ items }) =>
    items.filter(([kind]) => kind === "q" || kind === "m").flatMap(([kind, , , ...rest]) =>
      kind === "m" ? rest.slice(1) : rest
    )
  ).filter((payloads) => payloads.length > 0);

describe("requests that are sent", () => {
  it("those of one turn and contract are in one item of one frame", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    other.answerWith((_, payload) => payload);
    const sent = [1, "two", null, [4], { five: 5 }].map((payload) => app.send(Echo, payload));
    await settle();
    assertEquals(other.frames.map(({ text }) => text), [
      `[1,${other.frames[0].seq},${stage.clock.now()},["q","Echo",30000,1,"two",null,[4],{"five":5}]]`,
    ]);
    assertEquals((await Promise.all(sent)).map(unwrap), [1, "two", null, [4], { five: 5 }]);
  });

  it("those of several contracts and times are groups of one frame, in their order", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    other.answerWith((name, payload) => `${name} ${payload}`);
    const sent = [
      app.send(Echo, 1),
      app.send(Do, 2),
      app.send(Do, 3),
      app.send(Echo, 4),
      app.send(Echo, 5, { timeout: 2_345 }),
      app.send(Echo, 6, { timeout: 99.5 }),
    ];
    await settle();
    assertEquals(other.frames.flatMap(({ items }) => items), [
      ["q", "Echo", 30_000, 1],
      ["q", "Do", 30_000, 2, 3],
      ["q", "Echo", 30_000, 4],
      ["q", "Echo", 2_300, 5],
      ["q", "Echo", 100, 6],
    ]);
    assertEquals((await Promise.all(sent)).map(unwrap), ["Echo 1", "Do 2", "Do 3", "Echo 4", "Echo 5", "Echo 6"]);
  });

  it("undefined stays undefined, and null null, in requests and answers, among others too", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] === "q") other.send(from, ["r", seq, 0], ["r", seq, 1, null, 1], ["r", seq, 3]);
    };
    const sent = [undefined, null, 1, undefined].map((payload) => app.send(Echo, payload));
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), [undefined, null, 1, undefined]);
    assertEquals(other.frames[0].items, [["q", "Echo", 30_000], ["q", "Echo", 30_000, null, 1], ["q", "Echo", 30_000]]);
  });

  it("meta is sent for what is not default about a request", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    other.answerWith((_, payload) => payload);
    const sent = [
      app.send(Echo, 1),
      app.send(Echo, 2, { id: "mine", headers: { a: "é", __proto__: null } as unknown as Record<string, string> }),
      app.send(Echo, undefined, { id: "none" }),
      app.send(Echo, 4),
    ];
    assertEquals(
      (await clock.until(Promise.all(sent))).map(unwrap),
      [1, 2, undefined, 4].map((value) => value ?? null),
    );
    assertEquals(other.frames[0].items, [
      ["q", "Echo", 30_000, 1],
      ["m", "Echo", 30_000, { id: "mine", headers: { a: "é" } }, 2],
      ["m", "Echo", 30_000, { id: "none" }],
      ["q", "Echo", 30_000, 4],
    ]);
  });

  it("a frame holds 512 requests at most", async () => {
    await using stage = await openStage({ handles: HANDLES });
    stage.other.answerWith((_, payload) => payload);
    const sent = Array.from({ length: 1_300 }, (_, i) => stage.app.send(Echo, i));
    const answers = (await stage.clock.until(Promise.all(sent))).map(unwrap);
    assertEquals(requests(stage).map(({ length }) => length), [512, 512, 276]);
    assertEquals(answers, Array.from({ length: 1_300 }, (_, i) => i));
  });

  it("a frame holds 32 commands of entities at most", async () => {
    await using stage = await openStage();
    const Put = command<number, unknown>("Put", { key: String });
    await stage.other.register(["Put"], { entities: ["Put"] });
    await stage.settle();
    stage.other.answerWith((_, payload) => payload);
    const sent = Array.from({ length: 70 }, (_, i) => stage.app.send(Put, i));
    assertEquals((await stage.clock.until(Promise.all(sent))).map(unwrap), Array.from({ length: 70 }, (_, i) => i));
    assertEquals(requests(stage).map(({ length }) => length), [32, 32, 6]);
  });

  it("a frame is 64,000 characters at most, but for a single larger payload", async () => {
    await using stage = await openStage({ handles: HANDLES });
    stage.other.answerWith((_, payload) => (payload as string).length);
    const sizes = [20_000, 20_000, 20_000, 20_000, 200_000, 10, 63_900, 200];
    const sent = sizes.map((size) => stage.app.send(Echo, "x".repeat(size)));
    assertEquals((await stage.clock.until(Promise.all(sent))).map(unwrap), sizes);
    const grouped = requests(stage).map((payloads) => payloads.map((text) => (text as string).length));
    assertEquals(grouped, [[20_000, 20_000, 20_000], [20_000], [200_000], [10, 63_900], [200]]);
  });

  for (const maxPayload of [1_048_576, 65_536, 8_192, 4_096]) {
    it(`no message exceeds a limit of ${maxPayload} bytes, and a request that fits alone is sent`, async () => {
      await using stage = await openStage({ handles: HANDLES, maxPayload });
      stage.other.answerWith((_, payload) => (payload as string).length);
      const most = maxPayload - 2_048 - 2; // 2 bytes are left for the quotation marks
      const texts = [
        "a".repeat(100),
        "é".repeat(Math.floor(most / 2)),
        "你".repeat(200),
        "b".repeat(most),
        ..."c".repeat(300),
        "你".repeat(Math.floor(most / 3)),
      ];
      const sent = texts.map((text, i) =>
        stage.app.send(Echo, text, i % 2 === 1 && text.length < 400 ? { headers: { h: "h" } } : {})
      );
      const results = await stage.clock.until(Promise.all(sent));
      assertEquals(results.map(({ error }) => error?.code), results.map(() => undefined));
      assertEquals(results.map(unwrap), texts.map(({ length }) => length));
      assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
    });
  }

  it("large headers count: requests with them are split over frames that fit", async () => {
    await using stage = await openStage({ handles: HANDLES, maxPayload: 65_536 });
    stage.other.answerWith((_, payload) => payload);
    const headers = { large: "x".repeat(60_000) };
    const sent = [
      stage.app.send(Echo, "y".repeat(15_000)),
      stage.app.send(Echo, 2, { headers }),
      stage.app.send(Echo, 3),
    ];
    const results = await stage.clock.until(Promise.all(sent));
    assertEquals(results.map(({ error }) => error?.message), [undefined, undefined, undefined]);
    assertEquals(stage.other.frames.length, 3);
    assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
  });

  it("a request that is too large fails alone, at once", async () => {
    await using stage = await openStage({ handles: HANDLES, maxPayload: 8_192 });
    const { app, other, settle } = stage;
    other.answerWith((_, payload) => payload);
    const sent = [
      app.send(Do, 1),
      app.send(Do, "x".repeat(6_200)),
      app.send(Do, "é".repeat(3_100)),
      app.send(Do, 2, { headers: { large: "x".repeat(6_200) } }),
      app.send(Do, 3),
    ];
    await settle();
    const codes = (await Promise.all(sent)).map(({ value, error }) => error?.code ?? value);
    assertEquals(codes, [1, "TOO_LARGE", "TOO_LARGE", "TOO_LARGE", 3]);
    assertEquals(requests(stage), [[1, 3]]);
  });

  it("a request that cannot be sent fails alone, at once, and says why", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    other.answerWith((_, payload) => payload);
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const throwing = {
      get today() {
        throw new Error("not today");
      },
    };
    const wrong = [new WeakSet(), cycle, () => {}, Symbol("s"), throwing, { toJSON: () => undefined }];
    const sent = [app.send(Echo, 1), ...wrong.map((payload) => app.send(Echo, payload)), app.send(Echo, 2)];
    await settle();
    const results = await Promise.all(sent);
    assertEquals(results.map(({ value, error }) => error?.code ?? value), [
      1,
      ...wrong.map(() => "INVALID_MESSAGE"),
      2,
    ]);
    for (const { error } of results) assert(error === undefined || error.message.includes("Echo"), error?.message);
    const { cause } = results[5].error!.cause as Error;
    assertEquals(String(cause), "Error: not today", "which is for nobody but the sender's log");
  });

  it("a payload that is changed after the send is sent as it was", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const payload = { n: 1 };
    const sent = stage.app.send(Echo, payload);
    payload.n = 2;
    stage.other.answerWith((_, payload) => payload);
    assertEquals(unwrap(await stage.clock.until(sent)), { n: 1 });
  });
});

describe("answers that arrive", () => {
  it("reach their requests, in any order and grouping", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    const sent = Array.from({ length: 6 }, (_, i) => app.send(Do, i));
    await settle();
    const [{ from, seq }] = other.frames;
    other.send(from, ["r", seq, 4, "e"], ["e", seq, 3, { code: "NO_TEA", message: "none", details: [1] }]);
    other.send(from, ["r", seq, 0, "a", "b"]);
    other.send(from, ["e", seq, 5, "no error at all"], ["r", seq, 2]);
    await settle();
    const results = await Promise.all(sent);
    assertEquals(results.map(({ value, error }) => error?.code ?? value), [
      "a",
      "b",
      undefined,
      "NO_TEA",
      "e",
      "HANDLER_FAILED",
    ]);
    const { node, details } = results[3].error!;
    assertEquals([node, details], ["other", [1]]);
  });

  it("with a handler's own OVERLOADED or DRAINING are answers: the request is not sent again", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] === "q") other.send(from, ["e", seq, 0, { code: "DRAINING", message: "mine", retryable: true }]);
    };
    const { error } = await clock.until(app.send(Do, 1));
    assertEquals([error?.code, error?.message, requests(stage).length], ["DRAINING", "mine", 1]);
  });

  it("have no effect when the request is done, or was never sent", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle, clock } = stage;
    const first = app.send(Do, 1, { timeout: 50 });
    await settle();
    const [{ from, seq }] = other.frames;
    await clock.advance(80);
    assertEquals((await first).error?.code, "OUTCOME_UNKNOWN");
    const second = app.send(Do, 2);
    await settle();
    other.send(from, ["r", seq, 0, "late"], ["e", seq, 0, {}], ["n", seq, 0, "DRAINING"]);
    other.send(from, ["r", 0, 0, 1], ["r", seq + 7, 0, 1], ["r", seq + 1, 1, "no such place"], [
      "r",
      2 ** 50,
      2 ** 50,
      1,
    ]);
    await settle();
    other.send(from, ["r", other.frames[1].seq, 0, "right"]);
    assertEquals(unwrap(await clock.until(second)), "right");
    // the other process sends a second answer to a request, and then a refusal of it
    other.send(from, ["r", other.frames[1].seq, 0, "again"], ["n", other.frames[1].seq, 0, "LATE"]);
    await settle();
    assertEquals([requests(stage).length, app.self.load.inFlight], [2, 0]);
  });

  it("have no effect from a process that the frame was not sent to", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle, network } = stage;
    const thief = new Player(network, "thief");
    const sent = app.send(Do, 1);
    await settle();
    const [{ from, seq }] = other.frames;
    thief.send(from, ["r", seq, 0, "stolen"], ["n", seq, 0, "DRAINING"], ["o", 1, seq, [1, seq], [0, 0]]);
    await settle();
    other.send(from, ["r", seq, 0, "mine"]);
    await settle();
    assertEquals([unwrap(await sent), requests(stage).length], ["mine", 1]);
  });
});
