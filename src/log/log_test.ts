import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Behavior, catga, command, event, type Handler, type KeepOptions } from "../../mod.ts";
import { readAll } from "../../test/support/read_log.ts";
import { MemoryNetwork, VirtualClock } from "../testing/mod.ts";

// imported before the tests: `catga()` loads this file when needed, which takes real time, for which virtual time
// does not wait
import "./running/worker.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Placed = event<{ n: number }>("Placed", { durable: true, key: ({ n }) => `${n}` });
const Mail = command<{ n: number }>("Mail", { durable: true });

/** Notes what its nodes ask of streams and buckets. */
class NotingNetwork extends MemoryNetwork {
  readonly asked: string[] = [];

  override connect(options?: Parameters<MemoryNetwork["connect"]>[0]): ReturnType<MemoryNetwork["connect"]> {
    const connection = super.connect(options);
    const { log, store } = connection;
    const { open } = store;
    store.open = async (name, own) => {
      this.asked.push(`open ${name}`);
      const bucket = await open.call(store, name, own);
      const { create } = bucket;
      bucket.create = (...args) => {
        this.asked.push(`write ${name}`);
        return create.apply(bucket, args);
      };
      return bucket;
    };
    const noted: typeof log = {
      open: (name, own) => {
        this.asked.push(`open ${name}`);
        return log.open(name, own);
      },
    };
    return Object.assign(connection, { log: noted });
  }
}

describe("the log of a node", () => {
  it("is opened while the node joins its cluster", async () => {
    const network = new NotingNetwork();
    const handlers = Placed.on(() => {}, { name: "billing" });
    await using _app = await catga({ network, logger: QUIET, handlers });
    const before = network.asked.slice(0, network.asked.indexOf("write catga_default_nodes"));
    assertEquals(before.sort(), ["log", "nodes", "subscriptions"].map((name) => `open catga_default_${name}`));
  });

  it("is read by a read model while the bucket of nodes is opened", async () => {
    const network = new NotingNetwork();
    await using _app = await catga({ network, logger: QUIET, handlers: Placed.on(() => {}, { each: "node" }) });
    assertEquals(network.asked[0], "open catga_default_nodes");
  });

  it("a drain settles what is being published, and what is being taken back", async () => {
    const network = new MemoryNetwork();
    const app = await catga({ network, logger: QUIET });
    await app.enqueue(Mail, { n: 0 }, { id: "later", delay: 60_000 });
    const sent = Array.from({ length: 100 }, (_, n) => app.publish(Placed, { n }));
    await assertRejects(() => app.unschedule(event("Plain") as never, "x"), TypeError, "the event is not durable");
    await assertRejects(() => app.unschedule(Mail, "\ud800"), TypeError, "well-formed");
    const taken = app.unschedule(Mail, "later");
    await app.drain();
    assertEquals((await Promise.all(sent)).map(({ ok }) => ok), new Array(100).fill(true));
    assertEquals(await taken, true);
    assertEquals((await readAll(network.log)).length, 100);
    assertEquals((await app.publish(Placed, { n: 1 })).error?.code, "CLOSED");
    await assertRejects(() => app.unschedule(Mail, "later"), "has stopped");
  });

  it("says what a new subscription passes over, and that `from` has no effect on an existing one", async () => {
    const network = new MemoryNetwork();
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line.replace(/^catga \S+: /, ""));
    const logger = { debug: write, info: write, warn: write, error: write };
    const start = async (from: "now" | "start", ...events: (typeof Placed)[]) => {
      const handlers = events.map((each) => each.on(() => {}, { name: "billing", from }));
      const app = await catga({ network, service: "shop", logger, handlers });
      await eventually("it to lead", () => app.health().subscriptions.every(({ state }) => state === "leading"));
      await app.drain();
      // on a busy machine the node may lose its lead, and lead again
      return [...new Set(lines.splice(0).filter((line) => /^subscription .* (begins|exists) /.test(line)))];
    };
    await using publisher = await catga({ network, service: "web", logger });
    await publisher.publish(Placed, { n: 1 });
    const last = (await readAll(network.log))[0].time;
    const advice = 'To handle these, too: from: "start" for a new subscription, or catga rewind';
    const passed = (what: string) =>
      `subscription shop/billing begins now: it is new, and skips the stored messages of ${what}, the last of ${
        new Date(last).toISOString()
      }. ${advice}`;
    assertEquals(await start("now", Placed), [passed("Placed")]);
    assertEquals(await start("now", Placed), []);
    assertEquals(await start("start", Placed), [
      'subscription shop/billing exists already: from "start" has no effect on Placed. To handle stored messages again: catga rewind',
    ]);
    const Empty = event<{ n: number }>("Empty", { durable: true });
    assertEquals(await start("now", Placed, Empty), []);
  });

  it("says what an existing subscription passes over of an event that it now handles, too", async () => {
    const network = new MemoryNetwork();
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line.replace(/^catga \S+: /, "").replace(/\d{4}-.*?Z/, "…"));
    const logger = { debug: write, info: write, warn: write, error: write };
    const Paid = event<{ n: number }>("Paid", { durable: true });
    await using publisher = await catga({ network, service: "web", logger: QUIET });
    for (const from of ["now", "start"] as const) {
      const start = async (...events: (typeof Paid)[]) => {
        const handlers = events.map((each) => each.on(() => {}, { name: `from-${from}`, from }));
        await using app = await catga({ network, service: "shop", logger, handlers });
        await eventually("it to lead", () => app.health().subscriptions.every(({ state }) => state === "leading"));
      };
      await start(Placed);
      await publisher.publish(Paid, { n: 1 });
      lines.length = 0;
      await start(Placed, Paid);
      const said = [...new Set(lines.filter((line) => line.includes("Paid")))];
      assertEquals(said, [
        ...(from === "start"
          ? [
            'subscription shop/from-start exists already: from "start" has no effect on Paid. ' +
            "To handle stored messages again: catga rewind",
          ]
          : []),
        `subscription shop/from-${from} begins now: it handles Paid from now on, and skips the stored messages of Paid, ` +
        'the last of …. To handle these, too: from: "start" for a new subscription, or catga rewind',
      ]);
    }
  });

  it("begins at the start without a word, and stays so", async () => {
    const network = new MemoryNetwork();
    const warnings: string[] = [];
    const warn = (line: string) => void warnings.push(line);
    const logger = { ...QUIET, warn };
    await using publisher = await catga({ network, service: "web", logger });
    await publisher.publish(Placed, { n: 1 });
    for (let round = 0; round < 2; round++) {
      const seen = Promise.withResolvers<void>();
      const handlers = Placed.on(() => seen.resolve(), { name: "billing", from: "start" });
      await using _ = await catga({ network, service: "shop", logger, handlers });
      if (round === 0) await seen.promise;
    }
    assertEquals(warnings, []);
  });

  it("a message with an id that is due already is handled once, and what was scheduled under that id is not", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const handled: [id: string, n: number][] = [];
    const handlers = Placed.on(({ n }, { id }) => void handled.push([id, n]), { name: "orders" });
    const app = await clock.until(catga({ network, id: "a", logger: QUIET, handlers }));
    const publish = async (n: number, options: KeepOptions) =>
      assertEquals(await clock.until(app.publish(Placed, { n }, options)), { ok: true, value: undefined });
    for (let i = 0; i < 2; i++) {
      await publish(1, { id: "delay", delay: 0 });
      await publish(2, { id: "at", at: new Date(0) });
      await publish(3, { id: "replaced", delay: 60_000 });
      await publish(4, { id: "replaced", delay: 0 });
      await clock.advance(400);
    }
    await publish(5, { id: "again", delay: 0 });
    await publish(6, { id: "again", delay: 60_000 });
    await clock.advance(120_000);
    assertEquals(handled.map(([id, n]) => [id.split("@")[0], n]), [
      ["delay", 1],
      ["at", 2],
      ["replaced", 4],
      ["again", 5],
      ["again", 6],
    ]);
    await clock.until(app.drain());
  });

  for (const settings of [{ name: "orders" }, { each: "node" }] as const) {
    it(`has no more than a budget of bytes in hand: ${JSON.stringify(settings)}`, async () => {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const large = event<{ n: number; text: string }>("Large", { durable: true, key: ({ n }) => `${n}` });
      const release = Promise.withResolvers<void>();
      const handled = new Set<number>();
      const handlers = large.on(async ({ n }) => {
        await release.promise;
        handled.add(n);
      }, settings);
      const app = await clock.until(catga({ network, id: "a", logger: QUIET, handlers }));
      const text = "x".repeat(800_000);
      for (let n = 0; n < 60; n++) assertEquals((await clock.until(app.publish(large, { n, text }))).ok, true);
      await clock.advance(1_000);
      const { open } = app.health().subscriptions[0];
      assert(open > 30 && open < 50, `${open} messages of 800 kB`);
      release.resolve();
      await clock.advance(5_000);
      assertEquals(handled.size, 60);
      await clock.until(app.drain());
    });
  }

  it("an older leader keeps to the attempts and the timeout of a handler that only a newer node has", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const start = (id: string, handlers: readonly Handler[]) =>
      clock.until(catga({ network, id, service: "shop", logger: QUIET, timeout: 1_000, handlers }));
    const placed = Placed.on(() => {}, { name: "billing" });
    const old = await start("old", [placed]);
    const Paid = event<{ n: number }>("Paid", { durable: true });
    const Sent = event<{ n: number }>("Sent", { durable: true });
    const runs: string[] = [];
    const failing = Paid.on((_, ctx) => {
      runs.push(`paid ${ctx.attempt}`);
      throw new Error("no");
    }, { name: "billing", retry: { attempts: 1 } });
    const slow = Sent.on(async (_, ctx) => {
      runs.push(`sent ${ctx.attempt}`);
      await ctx.clock.sleep(8_000);
    }, { name: "billing", timeout: 10_000 });
    const app = await start("new", [placed, failing, slow]);
    for (const contract of [Paid, Sent]) assertEquals((await clock.until(app.publish(contract, { n: 0 }))).ok, true);
    await clock.advance(20_000);
    assertEquals([old.health().subscriptions[0].state, runs], ["leading", ["paid 1", "sent 1"]]);
    assertEquals((await clock.until(app.subscriptions())).map(({ dead }) => dead), [1]);
    await clock.until(app.drain());
    await clock.until(old.drain());
  });

  it("an older leader keeps to more attempts, and to another delay, than it would have by default", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const start = (id: string, handlers: readonly Handler[]) =>
      clock.until(catga({ network, id, service: "shop", logger: QUIET, handlers }));
    const placed = Placed.on(() => {}, { name: "billing" });
    const old = await start("old", [placed]);
    const Often = event<{ n: number }>("Often", { durable: true });
    const Rarely = event<{ n: number }>("Rarely", { durable: true });
    const runs: { readonly name: string; readonly attempt: number; readonly at: number }[] = [];
    const failing = (name: string) => (_: unknown, { attempt }: { readonly attempt: number }) => {
      runs.push({ name, attempt, at: clock.monotonic() });
      throw new Error("no");
    };
    const often = Often.on(failing("often"), { name: "billing", retry: { attempts: 15, delay: [20, 40] } });
    const rarely = Rarely.on(failing("rarely"), { name: "billing", retry: { attempts: 3, delay: [900_000, 900_000] } });
    const app = await start("new", [placed, often, rarely]);
    const began = clock.monotonic();
    for (const contract of [Often, Rarely]) assertEquals((await clock.until(app.publish(contract, { n: 0 }))).ok, true);
    await clock.advance(10_000);
    const attempts = (name: string) => runs.filter((run) => run.name === name).map(({ attempt }) => attempt);
    assertEquals(attempts("often"), Array.from({ length: 15 }, (_, i) => i + 1));
    assertEquals((await clock.until(app.subscriptions())).map(({ dead }) => dead), [1]);
    while (attempts("rarely").length < 3 && clock.monotonic() - began < 2_000_000) await clock.advance(1_000);
    // pauses are random: with the default delay the second attempt would come within 1 s, and the third within 3 s
    const [, second, third] = runs.filter((run) => run.name === "rarely");
    assert(third.at - began > 10_000, `attempts after ${second.at - began} and ${third.at - began} ms`);
    assertEquals(old.health().subscriptions[0].state, "leading");
    await clock.until(app.drain());
    await clock.until(old.drain());
  });

  it("a dead letter has the error of its last attempt, also when fewer attempts are deployed", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const start = (id: string, attempts: number) => {
      const handlers = Placed.on(() => Promise.reject(new Error("no database")), {
        name: "orders",
        retry: { attempts, delay: [10_000, 10_000] },
      });
      return clock.until(catga({ network, id, service: "shop", logger: QUIET, handlers }));
    };
    const before = await start("a", 50);
    assertEquals((await clock.until(before.publish(Placed, { n: 0 }))).ok, true);
    await clock.advance(25_000);
    await clock.until(before.drain());
    const after = await start("b", 2);
    await clock.advance(20_000);
    const letters = await clock.until(Array.fromAsync(after.deadLetters({ subscription: "orders" })));
    assertEquals(letters.map(({ error: { code, message } }) => [code, message.match(/on node (\w)/)?.[1]]), [[
      "HANDLER_FAILED",
      "a",
    ]]);
    await clock.until(after.drain());
  });

  for (const causes of [true, false]) {
    const what = causes
      ? "has what its handler threw, with the frame, and so has the health"
      : "has no cause with `causes: false`";
    it(`a dead letter ${what}`, async () => {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const noCard = () => {
        throw new TypeError("no card", { cause: new RangeError("no table") });
      };
      const handlers = Placed.on(noCard, { name: "orders", retry: { attempts: 2, delay: [10, 10] } });
      const app = await clock.until(catga({ network, id: "a", logger: QUIET, handlers, causes }));
      assertEquals((await clock.until(app.publish(Placed, { n: 0 }))).ok, true);
      await clock.advance(2_000);
      const [{ error: { code, cause } }] = await clock.until(Array.fromAsync(app.deadLetters()));
      const [{ lastFailure }] = app.health().subscriptions;
      assertEquals([code, lastFailure?.contract, lastFailure?.code], ["HANDLER_FAILED", "Placed", "HANDLER_FAILED"]);
      assertEquals(lastFailure?.cause, cause);
      if (causes) {
        assert(cause?.startsWith("TypeError: no card\n    at ") && cause.includes("log_test.ts"), cause);
        assert(cause?.includes("\ncaused by RangeError: no table\n"), cause);
      } else assertEquals(cause, undefined);
      await clock.until(app.drain());
    });
  }

  it("a message whose schema never ends is a dead letter after its attempts", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    let calls = 0;
    const hangs = () => (calls++, new Promise<never>(() => {}));
    const input = { "~standard": { version: 1, vendor: "test", validate: hangs } } as const;
    const Checked = event<{ n: number }, { n: number }>("Placed", { durable: true, input });
    const retry = { attempts: 2, delay: [10, 10] as const };
    const handlers = Checked.on(() => {}, { name: "orders", timeout: 1_000, retry });
    const app = await clock.until(catga({ network, id: "a", logger: QUIET, handlers }));
    const publisher = await clock.until(catga({ network, id: "p", service: "p", logger: QUIET }));
    assert((await clock.until(publisher.publish(Placed, { n: 1 }))).ok);
    await clock.advance(10_000);
    const letters = app.deadLetters();
    const { value: letter } = await clock.until(letters.next());
    assertEquals([letter?.attempts, letter?.error.code, calls], [2, "TIMEOUT", 2]);
    await clock.until(Promise.all([app.drain(), publisher.drain()]));
  });

  it("a drain that has no time ends what is being published, with what is known of it", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const app = await clock.until(catga({ network, id: "a", logger: QUIET }));
    assert((await clock.until(app.publish(Placed, { n: 0 }))).ok);
    network.cut("a");
    const sent = [1, 2].map((n) => app.publish(Placed, { n }));
    await clock.until(app.drain({ timeout: 100 }));
    for (const { error } of await Promise.all(sent)) assertEquals(error?.code, "CLOSED");
    assertEquals((await clock.until(readAll(network.log))).length, 1);
  });

  it("behaviors around sends see publish and enqueue, and add headers", async () => {
    const network = new MemoryNetwork();
    const seen: unknown[] = [];
    const traced: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), {
      send: (
        { method, contract, options }: Parameters<NonNullable<Behavior["send"]>>[0],
        next: Parameters<NonNullable<Behavior["send"]>>[1],
      ) => {
        seen.push([method, contract.name, options.delay]);
        return next({ trace: "t" });
      },
    });
    await using app = await catga({ network, logger: QUIET, behaviors: [traced] });
    assertEquals(await app.publish(Placed, { n: 1 }), { ok: true, value: undefined });
    assertEquals(await app.enqueue(Mail, { n: 2 }, { delay: 0 }), { ok: true, value: undefined });
    assertEquals(seen, [["publish", "Placed", undefined], ["enqueue", "Mail", 0]]);
    assertEquals((await readAll(network.log)).map(({ key, meta }) => [key, meta?.h]), [
      ["1", { trace: "t" }],
      [undefined, { trace: "t" }],
    ]);
  });
});
