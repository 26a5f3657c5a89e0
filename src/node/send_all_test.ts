/** Tests of `sendAll`, in one process and in a cluster. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { catga } from "../catga.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { fail, unwrap } from "../contract/calls/result.ts";
import { localApp } from "../../test/support/local_app.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const Half = query<number, number>("Half");
const Wait = command<number, number>("Wait");
const half = Half.handle((n) => n % 2 === 0 ? n / 2 : fail("ODD", `${n} is odd`));

describe("sendAll", () => {
  it("resolves with the results in the order of the payloads; a failure does not affect the others", async () => {
    const { app } = localApp({ handlers: half });
    const results = await app.sendAll(Half, new Set([4, 3, 2]));
    assertEquals(results.map(({ value, error }) => error?.code ?? value), [2, "ODD", 1]);
    assertEquals(await app.sendAll(Half, []), []);
  });

  it("over the wire: results are in order, whatever the order of the answers", async () => {
    await using cluster = await MemoryCluster.of();
    const { clock, network } = cluster;
    const slow = Wait.handle((n) => new Promise((resolve) => network.clock.after(100 - n, () => resolve(n))));
    for (const id of ["a", "b"]) await cluster.start(id, { handlers: slow });
    const client = await cluster.start("client", { handlers: [] });
    const results = await clock.until(client.sendAll(Wait, Array.from({ length: 100 }, (_, n) => n)));
    assertEquals(results.map(unwrap), Array.from({ length: 100 }, (_, n) => n));
  });

  it("concurrency limits the sends under way, and payloads are read only when they can be sent", async () => {
    let under = 0;
    let most = 0;
    let read = 0;
    const ends: (() => void)[] = [];
    const { app, clock } = localApp({
      handlers: Wait.handle((n) => {
        most = Math.max(most, ++under);
        return new Promise((resolve) => ends.push(() => (under--, resolve(n))));
      }),
    });
    function* payloads() {
      for (; read < 10;) yield ++read;
    }
    const sent = app.sendAll(Wait, payloads(), { concurrency: 3 });
    await clock.advance(0);
    assertEquals([under, read], [3, 3]);
    for (let i = 0; i < 10; i++) {
      ends[i]();
      await clock.advance(0);
    }
    assertEquals([(await sent).map(unwrap), most], [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 3]);
  });

  it("every send has the options: timeout, signal, retries, headers", async () => {
    const headers: unknown[] = [];
    const { app, clock } = localApp({
      handlers: Wait.handle((_, ctx) => {
        headers.push({ ...ctx.headers });
        return new Promise(() => {});
      }),
    });
    const stop = new AbortController();
    const late = app.sendAll(Wait, [1, 2], { timeout: 100, headers: { h: "1" } });
    const cancelled = app.sendAll(Wait, [3, 4, 5], { concurrency: 2, signal: stop.signal });
    await clock.advance(150);
    stop.abort();
    const codes = (await Promise.all([late, cancelled])).map((results) => results.map(({ error }) => error?.code));
    assertEquals(codes, [["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"], ["CANCELLED", "CANCELLED", "CANCELLED"]]);
    assertEquals(headers, [{ h: "1" }, { h: "1" }, {}, {}]);
    await clock.until(app.drain({ timeout: 0 }));
  });

  it("in a handler it has the handler's deadline, and is cancelled with it", async () => {
    const Outer = command<void, string[]>("Outer");
    const deadlines: number[] = [];
    let inner: Promise<unknown> | undefined;
    const { app, clock } = localApp({
      handlers: [
        Outer.handle((_, ctx) => {
          inner = ctx.sendAll(Wait, [1, 2, 3], { concurrency: 2 }).then((all) => all.map(({ error }) => error?.code));
          return inner as Promise<string[]>;
        }),
        Wait.handle((_, ctx) => {
          deadlines.push(ctx.deadline - clock.now());
          return new Promise(() => {});
        }),
      ],
    });
    const stop = new AbortController();
    const sent = app.send(Outer, undefined, { timeout: 1_000, signal: stop.signal });
    await clock.advance(400);
    stop.abort();
    assertEquals((await sent).error?.code, "CANCELLED");
    assertEquals([await inner, deadlines], [["CANCELLED", "CANCELLED", "CANCELLED"], [1_000, 1_000]]);
    await clock.until(app.drain({ timeout: 0 }));
  });

  it("rejects for misuse and says what is wrong, with payloads or without", async () => {
    const { app } = localApp({ handlers: half });
    const wrong = (run: () => Promise<unknown>, words: string) => assertRejects(run, Error, words);
    for (const payloads of [[], [2]]) {
      await wrong(
        () => app.sendAll(event<number>("E") as unknown as typeof Half, payloads),
        "sendAll: the first argument",
      );
      await wrong(() => app.sendAll(undefined as unknown as AnyContract as typeof Half, payloads), "got undefined");
      await wrong(() => app.sendAll(Half, payloads, { concurrency: 0 }), "concurrency");
      await wrong(() => app.sendAll(Half, payloads, { timeout: -1 }), "timeout");
      await wrong(() => app.sendAll(Half, payloads, { id: "x" } as object), "an id is of one message");
      await wrong(() => app.sendAll(Half, payloads, { oops: 1 } as object), "oops");
    }
    await wrong(
      () => app.sendAll(Half, 7 as unknown as number[]),
      "the payloads must be an array or another iterable; got 7",
    );
  });

  it("rejects with what a route or the payloads throw: nothing more is read or sent, and a generator is closed", async () => {
    let read = 0;
    let closed = false;
    function* payloads() {
      try {
        for (; read < 5_000;) yield ++read;
      } finally {
        closed = true;
      }
    }
    let routed = 0;
    await using app = await catga({ network: new MemoryNetwork(), handlers: half }); // its own handler needs no route
    const route = () => {
      if (++routed > 3) throw new RangeError("no route");
      return undefined;
    };
    const Routed = query<number, number>("Half", { route });
    await assertRejects(() => app.sendAll(Routed, payloads(), { concurrency: 2 }), RangeError, "no route");
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert(read <= 6, `${read} were read`);
    assertEquals(closed, true);
    function* throwing() {
      yield 2;
      throw new RangeError("no more");
    }
    await assertRejects(() => app.sendAll(Half, throwing()), RangeError, "no more");
  });
});
