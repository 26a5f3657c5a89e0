/** Tests, on virtual time, of streams whose nodes die, freeze, leave and are cut off. */
import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError, stream } from "../../mod.ts";
import { testCluster, VirtualClock } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { StreamReading } from "./reading.ts";

const slow = { timeout: 120_000 };

const Lines = stream<{ from: number; to: number }, number, "NO_FILE">("Lines");
const Going = stream<{ from: number; to: number }, number>("Going", {
  resume: (input, last) => ({ ...input, from: (last ?? input.from - 1) + 1 }),
});

/**
 * Starts a cluster of nodes that handle streams, and a reader. The handlers yield an item every `pace` ms; with 0, at
 * once.
 */
async function open(pace = 0, names: readonly string[] = ["w1", "w2", "w3"], servers = 1) {
  const seen = { begun: 0, finals: 0, nodes: [] as string[], reasons: [] as string[] };
  async function* lines(
    { from, to }: { from: number; to: number },
    ctx: Parameters<Parameters<typeof Lines.handle>[0]>[1],
  ) {
    seen.begun++;
    seen.nodes.push(ctx.node);
    try {
      for (let n = from; n <= to; n++) {
        if (pace > 0) await ctx.clock.sleep(pace);
        yield n;
      }
    } finally {
      seen.finals++;
      if (ctx.signal.aborted) seen.reasons.push(ctx.signal.reason.code);
    }
  }
  const handlers = [Lines.handle(lines), Going.handle(lines)];
  const cluster = await testCluster([...names, "reader"], {
    ...{ logger: QUIET, servers },
    node: (id) => id === "reader" ? {} : { handlers },
  });
  const reader = cluster.app("reader");
  /** Returns the node whose handler last began a stream. */
  const feeder = () => seen.nodes.at(-1)!;
  return { cluster, reader, seen, feeder, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

interface Read {
  readonly items: number[];
  readonly error: CatgaError | undefined;
}

async function read(items: AsyncIterable<number>, each?: (n: number) => unknown): Promise<Read> {
  const all: number[] = [];
  try {
    for await (const item of items) {
      all.push(item);
      await each?.(item);
    }
  } catch (error) {
    assert(error instanceof CatgaError, String(error));
    return { items: all, error };
  }
  return { items: all, error: undefined };
}

function isPrefix(items: readonly number[], from = 1): boolean {
  return items.every((n, i) => n === from + i);
}

describe("a stream whose node dies", () => {
  it("breaks with STREAM_BROKEN, and says how many items came", async () => {
    await using stage = await open(10);
    const { cluster, reader, feeder } = stage;
    const { items, error } = await cluster.until(
      read(reader.stream(Lines, { from: 1, to: 1_000 }), (n) => n === 50 && cluster.kill(feeder())),
    );
    assertEquals([error?.code, error?.retryable, error?.details], ["STREAM_BROKEN", true, { received: items.length }]);
    assert(isPrefix(items) && items.length >= 50 && items.length < 60, `${items.length}`);
  });

  it("goes on at another node with resume, again and again, without a gap or an item twice", async () => {
    await using stage = await open(10);
    const { cluster, reader, feeder, seen } = stage;
    let kills = 0;
    const work = async (n: number) => {
      if (n % 40 !== 0) return;
      const victim = feeder();
      cluster.kill(victim);
      kills++;
      await cluster.start(victim);
    };
    const { items, error } = await cluster.until(read(reader.stream(Going, { from: 1, to: 400 }), work));
    assertEquals([error, items.length, isPrefix(items)], [undefined, 400, true]);
    assert(kills === 10 && seen.begun > 5, `${kills} ${seen.begun}`);
  });

  it("with resume is TIMEOUT at the timeout of the whole if no node is left (it was UNAVAILABLE 30 s later)", async () => {
    await using stage = await open(10, ["w1"]);
    const { cluster, reader } = stage;
    const began = cluster.clock.monotonic();
    const items = reader.stream(Going, { from: 1, to: 400 }, { timeout: 2_000 });
    const { error } = await cluster.until(read(items, (n) => n === 5 && cluster.kill("w1")));
    assertEquals(error?.code, "TIMEOUT");
    assertLess(cluster.clock.monotonic() - began, 2_500);
  });

  it("is INVALID_MESSAGE where resume gives a promise, and ends no process if that rejects", async () => {
    const Later = stream<number, number>("Later", { resume: () => Promise.reject(new Error("no place")) as never });
    let feeder = "";
    const handlers = Later.handle(async function* (_, ctx) {
      feeder = ctx.node;
      yield 1;
      await ctx.clock.sleep(60_000);
    });
    const node = (id: string) => id === "reader" ? {} : { handlers };
    await using cluster = await testCluster(["w1", "w2", "reader"], { node, logger: QUIET });
    const items = cluster.app("reader").stream(Later, 1);
    const { error } = await cluster.until(read(items, () => cluster.kill(feeder)));
    assertEquals(error?.code, "INVALID_MESSAGE");
  });

  it("with resume breaks at last if no node is left for the idle time", async () => {
    await using stage = await open(10, ["w1"]);
    const { cluster, reader } = stage;
    const began = cluster.clock.monotonic();
    const { items, error } = await cluster.until(
      read(reader.stream(Going, { from: 1, to: 400 }, { idle: 5_000 }), (n) => n === 5 && cluster.kill("w1")),
    );
    assert(isPrefix(items) && items.length >= 5);
    assert(["NO_HANDLER", "UNAVAILABLE", "STREAM_BROKEN", "TIMEOUT"].includes(error?.code ?? ""), error?.code);
    assertLess(cluster.clock.monotonic() - began, 20_000);
  });
});

describe("a reader that dies", () => {
  for (const how of ["kill", "cut"] as const) {
    it(`${how}: the generator ends within 6 s`, async () => {
      await using stage = await open(10);
      const { cluster, reader, seen } = stage;
      const items = reader.stream(Lines, { from: 1, to: 1e9 });
      await cluster.until(items.next());
      cluster[how]("reader");
      await cluster.advance(6_000);
      assertEquals([seen.finals, seen.reasons], [1, ["CANCELLED"]]);
    });
  }

  it("is not one that was away when its feeder was there between two cuts of its own: the stream goes on", async () => {
    await using stage = await open(100, ["w1"]);
    const { cluster, reader, seen } = stage;
    const all = cluster.until(read(reader.stream(Lines, { from: 1, to: 150 })));
    await cluster.advance(1_000);
    cluster.cut("w1");
    cluster.cut("reader");
    await cluster.advance(1_000);
    cluster.restore("w1");
    await cluster.advance(1_500); // time for a ping of w1 to the reader to come back undelivered
    cluster.cut("w1");
    await cluster.advance(1_500);
    cluster.restore("reader");
    await cluster.advance(2_000);
    cluster.restore("w1");
    const { items, error } = await all;
    assertEquals([items.length, error, seen.reasons], [150, undefined, []]);
  });

  it("pause: the generator is held at the window, and ends when the reader stays silent", async () => {
    await using stage = await open();
    const { cluster, reader, seen } = stage;
    const items = reader.stream(Lines, { from: 1, to: 1e9 });
    await cluster.until(items.next());
    cluster.pause("reader");
    await cluster.advance(10_000);
    assertEquals(seen.finals, 0);
    await cluster.advance(45_000);
    assertEquals([seen.finals, seen.reasons], [1, ["CANCELLED"]]);
  });

  it("pause: one that goes on gets STREAM_BROKEN, and with resume the items after those that it has", async () => {
    await using stage = await open();
    const { cluster, reader, seen } = stage;
    const plain = reader.stream(Lines, { from: 1, to: 600 });
    const going = reader.stream(Going, { from: 1, to: 600 });
    await cluster.until(Promise.all([plain.next(), going.next()]));
    cluster.pause("reader");
    await cluster.advance(55_000);
    assertEquals(seen.reasons, ["CANCELLED", "CANCELLED"]);
    cluster.resume("reader");
    const [broken, whole] = await cluster.until(Promise.all([read(plain), read(going)]));
    assertEquals([broken.error?.code, isPrefix(broken.items, 2)], ["STREAM_BROKEN", true]);
    assertEquals([whole.error, whole.items.length, isPrefix(whole.items, 2)], [undefined, 599, true]);
  });
});

describe("a drain", () => {
  it("of the handler's node lets a stream end for its patience", async () => {
    await using stage = await open(10, ["w1"]);
    const { cluster, reader } = stage;
    const whole = read(
      reader.stream(Lines, { from: 1, to: 300 }),
      (n) => void (n === 10 && cluster.app("w1").drain({ timeout: 10_000 })),
    );
    const { items, error } = await cluster.until(whole);
    assertEquals([items.length, error], [300, undefined]);
  });

  it("then breaks it with DRAINING, the generator ends, and the items before arrive", async () => {
    await using stage = await open(10, ["w1"]);
    const { cluster, reader, seen } = stage;
    const { items, error } = await cluster.until(
      read(
        reader.stream(Lines, { from: 1, to: 1e9 }),
        (n) => void (n === 10 && cluster.app("w1").drain({ timeout: 1_000 })),
      ),
    );
    assertEquals([error?.code, error?.retryable, error?.details], ["DRAINING", true, { received: items.length }]);
    assert(isPrefix(items) && items.length > 50 && items.length < 150, `${items.length}`);
    assertEquals([seen.finals, seen.reasons], [1, ["CLOSED"]]);
  });

  it("with resume the stream goes on at another node", async () => {
    await using stage = await open(10, ["w1", "w2"]);
    const { cluster, reader, feeder } = stage;
    const { items, error } = await cluster.until(
      read(
        reader.stream(Going, { from: 1, to: 400 }),
        (n) => void (n === 10 && cluster.app(feeder()).drain({ timeout: 100 })),
      ),
    );
    assertEquals([error, items.length, isPrefix(items)], [undefined, 400, true]);
  });

  it("is not held up by an endless stream with resume, which goes on elsewhere (it took its whole timeout)", async () => {
    await using stage = await open(10, ["w1", "w2"]);
    const { cluster, reader, feeder } = stage;
    const { clock } = cluster;
    let took = -1;
    const drain = async () => {
      const begun = clock.monotonic();
      await cluster.app(feeder()).drain({ timeout: 20_000 });
      took = clock.monotonic() - begun;
    };
    const { items, error } = await cluster.until(
      read(reader.stream(Going, { from: 1, to: 400 }), (n) => void (n === 10 && drain())),
    );
    assertEquals([error, items.length, isPrefix(items)], [undefined, 400, true]);
    assert(took >= 0 && took < 1_000, `${took}`);
  });

  it("of the reader's node ends the iteration with CLOSED", async () => {
    await using stage = await open(10, ["w1"]);
    const { cluster, reader, seen } = stage;
    const { items, error } = await cluster.until(
      read(reader.stream(Lines, { from: 1, to: 1e9 }), (n) => void (n === 10 && reader.drain({ timeout: 1_000 }))),
    );
    assertEquals(error?.code, "CLOSED");
    assert(isPrefix(items) && items.length > 50);
    await cluster.advance(1_000);
    assertEquals(seen.finals, 1);
  });

  it("of the one process that does both ends the iteration, and the generator", async () => {
    await using stage = await open(10, ["w1"]);
    const { cluster, seen } = stage;
    const app = cluster.app("w1");
    const { items, error } = await cluster.until(
      read(app.stream(Lines, { from: 1, to: 1e9 }), (n) => void (n === 10 && app.drain({ timeout: 1_000 }))),
    );
    assertEquals(error?.code, "CLOSED");
    assert(isPrefix(items) && items.length > 50);
    assertEquals(seen.finals, 1);
  });
});

describe("a cut of less than 3 s, at any moment of a stream", () => {
  for (const servers of [1, 2]) {
    for (const cut of [["w1"], ["reader"], ["w1", "reader"]]) {
      const breaks = servers === 1 && !cut.includes("reader");
      it(`of ${cut.join(" and ")} with ${servers} server(s): ${breaks ? "it breaks, or is" : "it is"} whole`, async () => {
        const codes = new Set<string | undefined>();
        for (const lasts of [5, 300, 2_400]) {
          for (let at = 0; at < 40; at += 3) {
            await using stage = await open(2, ["w1"], servers);
            const { cluster, reader, seen } = stage;
            cluster.network.faults = { delay: 6 };
            await cluster.advance(10_000); // no node is in the grace after a connect
            const reading = read(reader.stream(Lines, { from: 1, to: 8 }));
            await cluster.advance(at);
            for (const id of cut) cluster.cut(id);
            await cluster.advance(lasts);
            for (const id of cut) cluster.restore(id);
            const { items, error } = await cluster.until(reading);
            assert(isPrefix(items));
            if (error === undefined) assertEquals(items.length, 8);
            else assertEquals([error.code, error.details], ["STREAM_BROKEN", { received: items.length }]);
            codes.add(error?.code);
            await cluster.advance(6_000);
            assertEquals(seen.finals, seen.begun);
          }
        }
        assertEquals(codes, new Set(breaks ? [undefined, "STREAM_BROKEN"] : [undefined]));
      });
    }
  }
});

describe("a stream over a bad network", () => {
  it("lost messages: items come all the same, each once", async () => {
    await using stage = await open(2);
    const { cluster, reader, seen } = stage;
    cluster.network.faults = { drop: 0.05 };
    const all = await cluster.until(
      Promise.all(Array.from({ length: 10 }, () => read(reader.stream(Lines, { from: 1, to: 400 })))),
    );
    cluster.network.faults = {};
    for (const { items, error } of all) {
      assert(isPrefix(items));
      if (error === undefined) assertEquals(items.length, 400);
      else assertEquals([error.code, error.details], ["STREAM_BROKEN", { received: items.length }]);
    }
    const whole = all.filter(({ error }) => error === undefined).length;
    assertLessOrEqual(7, whole, all.map(({ error }) => error?.message).join());
    await cluster.advance(60_000);
    assertEquals(seen.finals, seen.begun);
  });

  for (
    const [name, faults] of [
      ["cuts of up to 1 s", { cut: { every: 4_000, lasts: 1_000 }, delay: 20 }],
      ["cuts of up to 4 s", { cut: { every: 10_000, lasts: 4_000 }, delay: 20 }],
      ["freezes of up to 1 s", { pause: { every: 4_000, lasts: 1_000 }, delay: 20 }],
      ["all of it", {
        cut: { every: 8_000, lasts: 2_000 },
        pause: { every: 8_000, lasts: 2_000 },
        delay: 50,
        drop: 0.01,
      }],
    ] as const
  ) {
    it(`${name}: each stream's items are a prefix, or all with resume, and every generator ends`, slow, async () => {
      await using stage = await open(20);
      const { cluster, reader, seen } = stage;
      cluster.network.faults = faults;
      const [plain, going] = await cluster.until(
        Promise.all([
          Promise.all(Array.from({ length: 5 }, () => read(reader.stream(Lines, { from: 1, to: 600 })))),
          Promise.all(Array.from({ length: 5 }, () => read(reader.stream(Going, { from: 1, to: 600 })))),
        ]),
      );
      cluster.network.faults = {};
      for (const { items, error } of plain) {
        assert(isPrefix(items));
        if (error === undefined) assertEquals(items.length, 600);
        else if (error.code === "STREAM_BROKEN") assertEquals(error.details, { received: items.length });
      }
      for (const { items, error } of going) {
        assert(isPrefix(items));
        assertEquals([error, items.length], [undefined, 600]);
      }
      cluster.heal();
      await cluster.advance(60_000);
      assertEquals(seen.finals, seen.begun);
    });
  }
});

describe("a reader that ends its stream before it is opened again", () => {
  it("has its pending item at once, and no timer is left", async () => {
    const clock = new VirtualClock();
    const codes = ["STREAM_BROKEN", "UNAVAILABLE"] as const;
    let opened = 0;
    const reading = new StreamReading({
      contract: Going,
      input: { from: 1, to: 9 },
      options: {},
      clock,
      open: () => Promise.resolve({ ok: false, error: new CatgaError(codes[opened++], "no node") }),
    });
    const next = reading.next();
    await clock.advance(10);
    assertEquals(opened, 2);
    await reading.return();
    assertEquals([await clock.until(next), clock.monotonic()], [{ done: true, value: undefined }, 10]);
    assertEquals(clock.timers, 0);
  });
});

describe("a reader whose process stood still for longer than its idle time", () => {
  it("has what came meanwhile, though its timer runs first, and waits for the idle time anew", async () => {
    const virtual = new VirtualClock();
    let stoodStill = 0;
    const clock = {
      now: () => virtual.now() + stoodStill,
      monotonic: () => virtual.monotonic() + stoodStill,
      after: virtual.after.bind(virtual),
      soon: virtual.soon.bind(virtual),
    };
    let attempt: Parameters<ConstructorParameters<typeof StreamReading>[0]["open"]>[1] | undefined;
    const reading = new StreamReading({
      contract: Going,
      input: { from: 1, to: 9 },
      options: { idle: 5_000 },
      clock,
      open: (_, opened) => {
        attempt = opened;
        return new Promise(() => {});
      },
    });
    const next = reading.next();
    await virtual.advance(100);
    stoodStill = 60_000;
    await virtual.advance(4_950);
    attempt!.here.send(1);
    assertEquals(await virtual.until(next), { done: false, value: 1 });
    const late = assertRejects(() => reading.next(), CatgaError, "no item came for 5000 ms");
    await virtual.advance(5_000);
    await virtual.until(late);
  });
});

describe("a cancellation that was lost", () => {
  it("the generator ends when its reader is asked for it", async () => {
    await using stage = await open(0, ["w1"]);
    const { cluster, reader, seen } = stage;
    const items = reader.stream(Lines, { from: 1, to: 1e9 });
    await cluster.until(items.next());
    await cluster.advance(1_000);
    cluster.network.faults = { drop: 1 };
    await items.return!();
    await cluster.advance(20);
    cluster.network.faults = {};
    assertEquals(seen.finals, 0);
    await cluster.advance(12_000);
    assertEquals([seen.finals, seen.reasons], [1, ["CANCELLED"]]);
  });
});
