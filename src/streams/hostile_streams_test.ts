/**
 * Tests of what a process that reads or sends a stream, or the handler of a stream, cannot do to a node. Frames are
 * written by hand, in memory.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import process from "node:process";
import { describe, it } from "node:test";
import { catga, type CatgaError, type CatgaOptions, stream } from "../../mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { localApp } from "../../test/support/local_app.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { ItemReceiver } from "./flow_control.ts";

const Feed = stream<void, string>("Feed");
const Odd = stream<void, number>("Odd");

/** Starts a node with these handlers, and a connection that writes frames to it by hand. */
async function open(handlers: CatgaOptions["handlers"], options: CatgaOptions = {}) {
  const network = new MemoryNetwork();
  const node = await catga({ network, id: "worker", handlers, logger: QUIET, ...options });
  const { endpoint } = node.self;
  const mallory = network.connect({ name: "mallory" });
  const got = { bytes: 0, frames: [] as string[] };
  mallory.subscribe("catga.default.node.mallory.m1.>", {}, ({ data }) => {
    got.bytes += data.length;
    got.frames.push(new TextDecoder().decode(data));
  });
  let seq = 100;
  const send = (...items: unknown[]) => {
    const frame = JSON.stringify([1, ++seq, Date.now(), ...items]);
    const reply = `catga.default.bounce.mallory.m1.0.${seq}`;
    mallory.publish(`catga.default.node.${endpoint}.mallory.m1`, frame, { reply });
    return seq;
  };
  return { node, got, send, [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() };
}

/** Returns the items of frames, without the frames' headers. */
const items = (frames: readonly string[]) => frames.flatMap((frame) => (JSON.parse(frame) as unknown[][]).slice(3));

describe("a reader of a stream in another process", () => {
  it("gets a window of items again once a turn, however often it asks in one frame", async () => {
    await using stage = await open(Feed.handle(function* () {
      for (;;) yield "x".repeat(1_000);
    }));
    const { got, send } = stage;
    const seq = send(["q", "Feed", 60_000]);
    await eventually("a window of items", () => got.bytes > 256_000);
    const before = got.bytes;
    send(...Array.from({ length: 2_000 }, () => ["w", seq, 0, 0, 0, 1]));
    await eventually("the items again", () => got.bytes > 2 * before - 10_000);
    send(["p", 1]);
    await eventually("the answer to a ping", () => got.frames.some((frame) => frame.includes('["o",1,')));
    assertLess(got.bytes, 4 * before);
    send(["c", seq, 0]);
  });

  it("gets a window of items again when it asks, in order behind those that it has not got", async () => {
    await using stage = await open(Feed.handle(function* () {
      for (let n = 0; n < 3; n++) yield `${n}`;
    }));
    const { got, send } = stage;
    const seq = send(["q", "Feed", 60_000]);
    await eventually("the items", () => got.frames.join().includes('"z"'));
    got.frames.length = 0;
    send(["w", seq, 0, 1, 1, 1]);
    await eventually("them again", () => got.frames.join().includes('"z"'));
    assertEquals(items(got.frames).filter(([kind]) => kind === "i"), [["i", seq, 0, 1, "1", "2"]]);
    send(["c", seq, 0]);
  });

  it("that gives up behind the last item leaves nothing behind", async () => {
    await using stage = await open(Feed.handle(function* () {
      yield "one";
    }));
    const { got, send } = stage;
    const seq = send(["q", "Feed", 60_000]);
    await eventually("the end", () => got.frames.join().includes('"z"'));
    send(["c", seq, 0], ["p", 1, 0, [1, 1]]);
    const pong = () => items(got.frames).find(([kind]) => kind === "o");
    await eventually("what is in hand", () => pong() !== undefined);
    send(["p", 2, 0, [1, 1]]);
    await eventually("what is in hand later", () => items(got.frames).some(([kind, n]) => kind === "o" && n === 2));
    assertEquals(items(got.frames).findLast(([kind]) => kind === "o")?.[5], []);
  });

  it("has one answer, and no end of items, if its handler yields none", async () => {
    await using stage = await open(Feed.handle(function* () {}));
    const { got, send } = stage;
    const seq = send(["q", "Feed", 60_000]);
    const own = () => items(got.frames).filter(([, asked]) => asked === seq);
    await eventually("the answer", () => own().some(([kind]) => kind === "r"));
    assertEquals(own().map(([kind]) => kind), ["r"]);
  });

  it("is refused when 64 streams are open for each place of the node's concurrency", async () => {
    const feed = Feed.handle(async function* (_, ctx) {
      yield "one";
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
    });
    await using stage = await open(feed, { concurrency: 2 });
    const { got, send } = stage;
    const seq = send(["q", "Feed", 60_000, ...Array.from({ length: 130 }, () => null)]);
    const refused = () => items(got.frames).filter(([kind]) => kind === "e");
    await eventually("two to be refused", () => refused().length === 2);
    assertEquals(refused().map(([, , index, error]) => [index, (error as CatgaError).code]), [
      [128, "OVERLOADED"],
      [129, "OVERLOADED"],
    ]);
    send(...Array.from({ length: 128 }, (_, index) => ["c", seq, index]));
  });
});

describe("a process that feeds a stream", () => {
  it("fills no more than the window of a reader, which asks again for what it had no room for", () => {
    const reports: number[][] = [];
    const source = {
      reportProgress: (...report: [number, number, boolean]) => void reports.push(report.map(Number)),
    };
    const receiver = new ItemReceiver(8);
    const items = Array.from({ length: 100 }, (_, n) => n);
    receiver.items(source, 0, items, 0);
    assertEquals([receiver.size, receiver.received], [8, 8]);
    receiver.end(source, 100);
    const read: unknown[] = [];
    while (receiver.received < 100 || receiver.size > 0) {
      const asked = reports.length;
      read.push(receiver.take(source));
      if (reports.length > asked) receiver.items(source, receiver.received, items.slice(receiver.received), 0);
    }
    assertEquals(read, items);
    assert(receiver.complete(100));
    assertLess(reports.length, 40);
  });
});

describe("the handler of a stream", () => {
  const ends: Record<string, () => unknown> = {
    "throws in return()": () => {
      throw new Error("no end");
    },
    "rejects in return()": () => Promise.reject(new Error("no end")),
    "has a thenable that throws in return()": () => ({
      then() {
        throw new Error("no end");
      },
    }),
  };
  for (const [how, end] of Object.entries(ends)) {
    for (const remote of [false, true]) {
      it(`that ${how} ends with its ${remote ? "remote" : "local"} reader, and no process`, async () => {
        const uncaught: unknown[] = [];
        const note = (error: unknown) => void uncaught.push(error);
        process.on("uncaughtException", note);
        let ended = 0;
        let n = 0;
        const odd = Odd.handle(() => ({
          [Symbol.asyncIterator]: () => ({
            next: () =>
              new Promise<{ done: false; value: number }>((go) => setTimeout(() => go({ done: false, value: n++ }), 1)),
            return: () => (ended++, end() as never),
          }),
        }));
        const network = new MemoryNetwork();
        await using node = await catga({ network, id: "worker", handlers: odd, logger: QUIET });
        await using other = await catga({ network, id: "reader", logger: QUIET });
        await eventually("both", () => other.nodes().length === 2);
        for await (const item of (remote ? other : node).stream(Odd)) if (item > 2) break;
        await eventually("its end", () => ended === 1);
        const again: number[] = [];
        for await (const item of (remote ? other : node).stream(Odd)) if (again.push(item) > 2) break;
        assertEquals(again.length, 3);
        await eventually("the end of the second", () => ended === 2);
        process.off("uncaughtException", note);
        assertEquals(uncaught, []);
      });
    }
  }
});

describe("a schema of items that never settles at the reader", () => {
  const items = { "~standard": { version: 1, vendor: "test", validate: () => new Promise<never>(() => {}) } } as const;
  const Slow = stream<void, string>("Feed", { items: items as never });
  const ends = {
    CANCELLED: (_: AsyncIterator<unknown>, abort: () => void) => abort(),
    TIMEOUT: () => {},
    done: (reading: AsyncIterator<unknown>) => void reading.return!(),
  };
  for (const [how, end] of Object.entries(ends)) {
    it(`ends with the idle time, the signal, or the iteration: ${how}`, async () => {
      const { app, clock } = localApp({ handlers: Feed.handle(() => ["a", "b"]) });
      const controller = new AbortController();
      const reading = app.stream(Slow, undefined, { signal: controller.signal });
      let got = "nothing";
      reading.next().then(({ done }) => got = done ? "done" : "item", ({ code }: CatgaError) => got = code);
      await clock.advance(10);
      end(reading, () => controller.abort());
      await clock.advance(30_000);
      assertEquals(got, how);
      await clock.until(app.drain());
    });
  }
});
