/** Tests of the frames that a node sends, and of the number of its peers. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { query } from "../../contract/declaration/definition.ts";
import { CatgaError } from "../../error.ts";
import { fail } from "../../contract/calls/result.ts";
import { catga } from "../../catga.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { leastTime } from "../../../test/support/least_time.ts";
import { openStage, type Stage } from "../../../test/support/stage.ts";

const Echo = query<unknown, unknown>("Echo");
/** Makes a handler that returns its payload, and records the payloads. */
function echo() {
  const payloads: unknown[] = [];
  const handlers = Echo.handle((payload) => {
    payloads.push(payload);
    return payload;
  });
  return { payloads, handlers };
}

/** Returns the answers, errors and refusals that the node has sent to the other process. */
const answers = ({ other }: Stage) => other.items("r", "e", "n");
const to = ({ app }: Stage) => app.self.endpoint;

describe("a server that changes subjects", () => {
  it("cannot turn another part of a subject into a sender: messages off the node's own subjects are dropped", async () => {
    const { handlers, payloads } = echo();
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const transport = connect(options);
      const subscribe = transport.subscribe.bind(transport);
      // the server maps subjects: a message on any subject below `m` is also delivered to the node's subscriptions
      transport.subscribe = (subject, options, onMessage) => {
        if (/\.(node|bounce)\./.test(subject)) subscribe("m.>", {}, onMessage);
        return subscribe(subject, options, onMessage);
      };
      return transport;
    };
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, warn: (line: string) => void warnings.push(line), error() {} };
    const app = await catga({ network, id: "node", handlers, logger });
    const inbox = `catga.default.node.${app.self.endpoint}.`;
    const mapped = `m.${"x".repeat(inbox.length - 2)}other.1`;
    network.connect({ name: "other" }).publish(mapped, `[1,1,${clock.now()},["q","Echo",1000,"forged"]]`);
    await clock.advance(0);
    assertEquals(payloads, []);
    assert(warnings[0]?.includes("malformed") && warnings[0].includes("it came on a subject"), warnings.join());
    await clock.until(app.drain());
  });
});

describe("answers that are sent", () => {
  const Give = query<string, unknown>("Give");
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const gifts: Record<string, () => unknown> = {
    big: () => "x".repeat(20_000),
    cycle: () => cycle,
    fn: () => () => {},
    fail: () => fail("NO_TEA", "none", { details: { left: 0 }, retryable: true }),
    throw: () => {
      throw new Error("secret");
    },
    "throw a CatgaError": () => {
      throw new CatgaError("MINE", "mine");
    },
    bigDetails: () => fail("NO_TEA", "none", { details: "x".repeat(20_000) }),
    bigMessage: () => fail("NO_TEA", "é".repeat(20_000)),
    wrongDetails: () => fail("NO_TEA", "none", { details: (() => 1) as unknown as string }),
    good: () => "good",
    later: () => Promise.resolve("later"),
  };
  const handlers = Give.handle((name) => gifts[name]() as string);

  it("one that cannot be encoded or is too large becomes an error, and does not affect the others", async () => {
    await using stage = await openStage({ handlers, maxPayload: 8_192 });
    stage.other.send(to(stage), ["q", "Give", 1_000, "good", "cycle", "fn", "big", "good"]);
    await stage.settle();
    const seen = answers(stage).map((
      [kind, , index, what],
    ) => [kind, index, kind === "e" ? (what as CatgaError).code : what]);
    assertEquals(seen, [
      ["r", 0, "good"],
      ["e", 1, "INVALID_RESPONSE"],
      ["e", 2, "INVALID_RESPONSE"],
      ["e", 3, "TOO_LARGE"],
      ["r", 4, "good"],
    ]);
  });

  it("a failure carries code, message, retryable and details; a throw only that it happened", async () => {
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Give", 1_000, "fail", "throw", "throw a CatgaError", "wrongDetails"]);
    await stage.settle();
    const [failed, threw, own, wrong] = answers(stage).map((item) => item[3] as Record<string, unknown>);
    assertEquals(failed, { code: "NO_TEA", message: "none", retryable: true, details: { left: 0 } });
    assertEquals([threw.code, own.code, wrong.code], ["HANDLER_FAILED", "MINE", "NO_TEA"]);
    assert(!stage.other.frames[0].text.includes("secret"));
    assert(stage.log.some((line) => line.includes("secret")));
  });

  it("a failure that is too large for the server is shortened (the answers in its frame were lost)", async () => {
    await using stage = await openStage({ handlers, maxPayload: 8_192 });
    stage.other.send(to(stage), ["q", "Give", 1_000, "good", "bigDetails", "bigMessage", "later"]);
    await stage.settle();
    const seen = answers(stage).map((
      [kind, , index, what],
    ) => [kind, index, kind === "e" ? (what as CatgaError).code : what]);
    assertEquals(seen, [["r", 0, "good"], ["e", 1, "NO_TEA"], ["e", 2, "NO_TEA"], ["r", 3, "later"]]);
    assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
  });

  it("many large ones are split over frames that fit the server's limit", async () => {
    await using stage = await openStage({ handlers: Echo.handle((payload) => payload) });
    const texts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(20_000));
    stage.other.send(to(stage), ["q", "Echo", 1_000, ...texts]);
    await stage.settle();
    assertEquals(answers(stage).flatMap(([, , , ...values]) => values), texts);
    for (const { text } of stage.other.frames) assert(text.length < 66_000, String(text.length));
  });
});

describe("many peers", () => {
  it("forged senders do not fill the memory, and a node that was forgotten for them is served as before", async () => {
    const { handlers, payloads } = echo();
    await using stage = await openStage({ handlers, handles: ["There"] });
    const { other, network, clock, app } = stage;
    other.pongs = false;
    const There = query<unknown, unknown>("There");
    other.answerWith((_, payload) => payload);
    for (let i = 0; i < 3; i++) assert((await clock.until(app.send(There, i))).ok);
    other.send(to(stage), ["q", "Echo", 9_000, "before"]);
    await stage.settle();
    const forger = network.connect();
    for (let i = 0; i < 9_000; i++) {
      forger.publish(`catga.default.node.${to(stage)}.forged.${i}`, "[1,1,0]");
      if (i % 500 === 0) await stage.settle();
    }
    await stage.settle();
    // regression: numbers of earlier frames were used again, so that the other process ignored new requests as old ones
    const seqs = other.frames.map(({ seq }) => seq);
    const answer = await clock.until(app.send(There, "after", { timeout: 5_000 }));
    assertEquals(answer.value, "after");
    assert(other.frames.at(-1)!.seq > Math.max(...seqs), `${other.frames.at(-1)!.seq} after ${seqs}`);
    other.send(to(stage), ["q", "Echo", 9_000, "after"]);
    await stage.settle();
    assertEquals(payloads, ["before", "after"]);
  });

  it("many at once do not slow each other down", async () => {
    const of = (count: number) =>
      leastTime(async () => {
        await using stage = await openStage();
        const forger = stage.network.connect();
        // all messages come in one turn of the event loop: each sender is owed an answer, so none can be forgotten
        // yet
        for (let i = 0; i < count; i++) {
          forger.publish(`catga.default.node.${to(stage)}.forged.${i}`, '[1,1,0,["p",1]]');
        }
        await stage.settle();
      });
    const [few, many] = [await of(3_000), await of(15_000)];
    // five times as many senders take five times as long; if each message looked through all peers beyond 4,096, they
    // would take 27 times as long
    assertLess(many / few, 12, `${few} ms, ${many} ms: every message looked through all peers`);
  });
});
