/** Tests of what streams promise; they run in one process, in memory and over NATS. */
import { assert, assertEquals, assertLessOrEqual, assertRejects, assertThrows } from "@std/assert";
import { it } from "node:test";
import { z } from "zod";
import {
  type Behavior,
  type Catga,
  CatgaError,
  type CatgaOptions,
  command,
  fail,
  type SendBehavior,
  stream,
} from "../../mod.ts";
import { chances } from "../../test/support/chances.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { retry } from "../behaviors/mod.ts";

/** The network on which the tests run. */
export interface StreamsHarness {
  /** Starts an app that reads, and an app with the handlers; they may be the same app. */
  open(options: CatgaOptions): Promise<{ reader: Catga; worker: Catga; close(): Promise<void> }>;
  /** True if reader and handlers are in one app. */
  readonly one: boolean;
}

const Count = stream<{ to: number; bad?: boolean; wait?: number }, number, "TOO_FAR">("Count");
const Rich = stream<void, unknown>("Rich");
const Checked = stream("Checked", {
  input: z.object({ from: z.number() }),
  items: z.object({ n: z.number().max(3), on: z.string().transform((text) => new Date(text)) }),
  failures: ["GONE"],
});
const Held = stream<{ size: number }, string>("Held", { window: { items: 8, bytes: 1_000 } });
const Odd = stream<string, number>("Odd");
const Sum = command<{ to: number }, number>("Sum");

/** Reads a stream to its end. Returns the items, and the code of the failure, if it failed. */
async function readAll<T>(
  items: AsyncIterable<T>,
): Promise<{ items: T[]; code: string | undefined; details?: unknown }> {
  const all: T[] = [];
  try {
    for await (const item of items) all.push(item);
  } catch (error) {
    assert(error instanceof CatgaError, String(error));
    return { items: all, code: error.code, details: error.details };
  }
  return { items: all, code: undefined };
}

/** Defines the tests of streams for one network. */
export function streamsSuite(harness: StreamsHarness): void {
  /** What the handlers did: streams begun, items made, `finally` blocks run, reasons of aborts. */
  const seen = { begun: 0, made: 0, finals: 0, reasons: [] as string[] };
  const count = Count.handle(async function* ({ to, bad, wait }, ctx) {
    seen.begun++;
    try {
      for (let n = 1; n <= to; n++) {
        seen.made = n;
        yield n;
        if (wait !== undefined && n % wait === 0) await ctx.clock.sleep(1);
      }
      if (bad) return fail("TOO_FAR", `cannot go beyond ${to}`, { details: { to } });
    } finally {
      seen.finals++;
      if (ctx.signal.aborted) seen.reasons.push(ctx.signal.reason.code);
    }
  });
  const values = [
    "~\0\ud800",
    "",
    new Date(7),
    12n,
    undefined,
    new Map([["a", new Set([1])]]),
    new Uint8Array([1, 2]),
    null,
    "~x",
    NaN,
  ];
  const rich = Rich.handle(function* () {
    yield* values;
  });
  const checked = Checked.handle(async function* ({ from }) {
    for (let n = from; n < 9; n++) yield { n, on: "2026-01-02" };
  });
  const held = Held.handle(async function* ({ size }) {
    for (let n = 1; n <= 1_000; n++) {
      seen.made = n;
      yield "x".repeat(size);
    }
  });
  const odd = Odd.handle((what): Iterable<number> => {
    if (what === "fails") return fail("NO", "at once") as never;
    if (what === "throws") throw new Error("secret");
    if (what === "array") return [1, 2, 3];
    if (what === "late") {
      return {
        *[Symbol.iterator]() {
          yield 1;
          throw new Error("secret");
        },
      };
    }
    if (what === "function") return [1, (() => 2) as never, 3];
    return what === "text" ? "123" as never : 7 as never;
  });
  const sum = Sum.handle(async (input, ctx) => {
    let all = 0;
    for await (const n of ctx.stream(Count, input)) all += n;
    return all;
  });
  const handlers = [count, rich, checked, held, odd, sum];
  const within = (test: (apps: { reader: Catga; worker: Catga }) => Promise<void>) => async () => {
    const { reader, worker, close } = await harness.open({ handlers, logger: QUIET });
    Object.assign(seen, { begun: 0, made: 0, finals: 0, reasons: [] });
    try {
      await test({ reader, worker });
    } finally {
      await close();
    }
  };

  it(
    "items come in order, each once, and the generator ends",
    within(async ({ reader }) => {
      const { items, code } = await readAll(reader.stream(Count, { to: 2_000, wait: 300 }));
      assertEquals([items.length, items.every((n, i) => n === i + 1), code], [2_000, true, undefined]);
      assertEquals([seen.finals, seen.reasons], [1, []]);
      assertEquals((await readAll(reader.stream(Count, { to: 0 }))).items, []);
    }),
  );

  it(
    "a failure that the handler returns comes as a CatgaError, after the items before it",
    within(async ({ reader }) => {
      const answer = await readAll(reader.stream(Count, { to: 300, bad: true }));
      assertEquals([answer.items.length, answer.code, answer.details], [300, "TOO_FAR", { to: 300 }]);
      assertEquals(await readAll(reader.stream(Odd, "fails")), { items: [], code: "NO", details: undefined });
    }),
  );

  it(
    "what the handler throws is HANDLER_FAILED, and its message stays there",
    within(async ({ reader }) => {
      const late = await readAll(reader.stream(Odd, "late"));
      assertEquals([late.items, late.code], [[1], "HANDLER_FAILED"]);
      const error = await assertRejects(() => reader.stream(Odd, "throws").next(), CatgaError);
      assertEquals([error.code, error.message.includes("secret")], ["HANDLER_FAILED", false]);
    }),
  );

  it(
    "a handler may return any iterable; what is none is HANDLER_FAILED",
    within(async ({ reader }) => {
      assertEquals(await readAll(reader.stream(Odd, "array")), { items: [1, 2, 3], code: undefined });
      for (const what of ["text", "number"]) {
        assertEquals((await readAll(reader.stream(Odd, what))).code, "HANDLER_FAILED", what);
      }
    }),
  );

  it(
    "a second iteration, when the first has ended or was left, is a TypeError and not an empty stream",
    within(async ({ reader }) => {
      const read = reader.stream(Count, { to: 3 });
      const left = reader.stream(Count, { to: 3 });
      assertEquals((await readAll(read)).items, [1, 2, 3]);
      for await (const _ of left) break;
      for (const items of [read, left]) {
        const { message } = await assertRejects(() => Array.fromAsync(items), TypeError);
        assertEquals(message, "stream Count has been read; call stream(…) again to read it anew");
      }
      for (const to of [0, 3]) {
        const rest = reader.stream(Count, { to });
        await rest.next();
        assertEquals((await readAll(rest)).items, [2, 3].slice(0, to));
      }
    }),
  );

  it(
    "rich values arrive as they were",
    within(async ({ reader }) => {
      assertEquals((await readAll(reader.stream(Rich))).items, values);
    }),
  );

  it(
    "the schemas check the input and each item, and parse them",
    within(async ({ reader }) => {
      const answer = await readAll(reader.stream(Checked, { from: 1 }));
      assertEquals(answer.code, "INVALID_RESPONSE");
      assertEquals(answer.items, [1, 2, 3].map((n) => ({ n, on: new Date("2026-01-02") })));
      const bad = await readAll(reader.stream(Checked, { from: "1" as unknown as number }));
      assertEquals([bad.items, bad.code], [[], "INVALID_MESSAGE"]);
    }),
  );

  it(
    "break, return() and an aborted signal abort ctx.signal, and the generator's finally runs",
    within(async ({ reader }) => {
      for await (const n of reader.stream(Count, { to: 1e9 })) if (n === 10) break;
      await eventually("the first to end", () => seen.finals === 1);
      const items = reader.stream(Count, { to: 1e9 });
      await items.next();
      assertEquals(await items.return!(), { done: true, value: undefined });
      assertEquals(await items.next(), { done: true, value: undefined });
      await eventually("the second to end", () => seen.finals === 2);
      const stop = new AbortController();
      const aborted = reader.stream(Count, { to: 1e9 }, { signal: stop.signal });
      await aborted.next();
      stop.abort();
      assertEquals((await assertRejects(() => aborted.next(), CatgaError)).code, "CANCELLED");
      assertEquals(await aborted.next(), { done: true, value: undefined });
      await eventually("the third to end", () => seen.finals === 3);
      const never = await readAll(reader.stream(Count, { to: 3 }, { signal: AbortSignal.abort() }));
      assertEquals([never.items, never.code], [[], "CANCELLED"]);
      assertEquals(seen.reasons, ["CANCELLED", "CANCELLED", "CANCELLED"]);
    }),
  );

  it(
    "what is never read is never asked for",
    within(async ({ reader }) => {
      const items = reader.stream(Count, { to: 5 });
      assertEquals(await items.return!(), { done: true, value: undefined });
      assertEquals(await items.next(), { done: true, value: undefined });
      assertEquals(seen.finals, 0);
    }),
  );

  it(
    "the handler is at most a window ahead of its reader",
    within(async ({ reader }) => {
      const items = reader.stream(Held, { size: 1 });
      await items.next();
      await eventually("the window to be full", () => seen.made >= 8);
      assertLessOrEqual(seen.made, 10);
      for (let i = 0; i < 100; i++) await items.next();
      assertLessOrEqual(seen.made, 110);
      await items.return!();
      if (harness.one) return;
      const large = reader.stream(Held, { size: 400 }); // the stream's window is 1,000 bytes
      await large.next();
      await eventually("three items", () => seen.made >= 3 && seen.made < 8);
      for (let i = 0; i < 100; i++) {
        await large.next();
        assertLessOrEqual(seen.made, i + 6);
      }
      await large.return!();
    }),
  );

  it(
    "several next() at once have the items in order",
    within(async ({ reader }) => {
      const items = reader.stream(Count, { to: 5 });
      const all = await Promise.all(Array.from({ length: 7 }, () => items.next()));
      assertEquals(all.map(({ value }) => value), [1, 2, 3, 4, 5, undefined, undefined]);
    }),
  );

  it(
    "a handler reads streams with its context, and they end with it",
    within(async ({ reader }) => {
      assertEquals((await reader.send(Sum, { to: 500 })).value, 125_250);
      // the request is repeated, because on a busy machine it may not be sent in time, which is a TIMEOUT, or come to
      // its handler too late, which its sender does not learn
      await eventually("one that has begun", async () => {
        const { error } = await reader.send(Sum, { to: 1e9 }, { timeout: 1_000 });
        return error?.code === "OUTCOME_UNKNOWN" && seen.begun > 1;
      });
      // earlier attempts of the request may have begun streams, too
      await eventually("all streams to end", () => seen.finals >= 2 && seen.finals === seen.begun);
    }),
  );

  it(
    "nothing for the idle time is a TIMEOUT, and so is the end of the whole time",
    within(async ({ reader }) => {
      const Silent = stream<void, number>("Silent");
      let ended = 0;
      const { reader: other, close } = await harness.open({
        logger: QUIET,
        handlers: Silent.handle(async function* (_, ctx) {
          try {
            yield 1;
            for (;;) await ctx.clock.sleep(20).then(() => {});
          } finally {
            ended++;
          }
        }),
      });
      let begun = 0;
      const late = async (options: { idle: number } | { timeout: number }) => {
        const { items, code } = await readAll(other.stream(Silent, undefined, options));
        begun += items.length;
        return { items, code };
      };
      for (const limit of ["idle", "timeout"] as const) {
        // on a busy machine the first item may come too late, which is a TIMEOUT, too
        const read = () => late(limit === "idle" ? { idle: 1_000 } : { timeout: 1_000 });
        assertEquals(await chances(4, read, ({ items }) => items.length > 0), { items: [1], code: "TIMEOUT" });
      }
      await eventually("all that began to end", () => begun >= 2 && ended >= begun);
      await close();
      // the time in which the program requests no item does not count as idle time
      const slowly = async () => {
        const items = reader.stream(Count, { to: 3 }, { idle: 1_000 });
        const seen: unknown[] = [];
        try {
          for await (const item of items) if (seen.push(item) === 2) await reader.clock.sleep(1_500);
        } catch (error) {
          seen.push((error as CatgaError).code);
        }
        return seen;
      };
      assertEquals(await chances(4, slowly, (seen) => seen.at(-1) === 3), [1, 2, 3]);
    }),
  );

  it(
    "misuse throws at once, and a contract that nobody handles is NO_HANDLER",
    within(async ({ reader }) => {
      const wrong = reader as unknown as { stream(...args: unknown[]): AsyncIterableIterator<unknown> };
      assertThrows(() => wrong.stream(Sum, { to: 1 }), TypeError, "stream(…)");
      assertThrows(() => wrong.stream(Count, { to: 1 }, { ttl: 1 }), TypeError, "ttl");
      assertThrows(() => reader.stream(Count, { to: 1 }, { idle: 0 }), RangeError, "idle");
      const send = reader as unknown as { send(...args: unknown[]): Promise<unknown> };
      await assertRejects(async () => await send.send(Count, { to: 1 }), TypeError, "stream it");
      assertEquals((await readAll(reader.stream(stream<void, number>("Nobodys")))).code, "NO_HANDLER");
    }),
  );

  it(
    "an item that cannot be sent ends the stream, and the items before it arrive",
    within(async ({ reader }) => {
      const answer = await readAll(reader.stream(Odd, "function"));
      // in one process nothing is encoded, so a function is passed on
      if (harness.one) return assertEquals(answer.items.length, 3);
      assertEquals([answer.items, answer.code], [[1], "INVALID_RESPONSE"]);
    }),
  );

  it(
    "behaviors around sends add headers, and see how a stream ended; one that has items is not opened again",
    async () => {
      const Told = stream<{ bad: boolean }, string | undefined, "BAD">("Told");
      let runs = 0;
      const results: string[] = [];
      const send: SendBehavior = async ({ method }, next) => {
        const first = await next({ tenant: "north" });
        results.push(`${method} ${first.error?.code ?? first.value}`);
        return first.ok ? { ok: true, value: "another" } : await next();
      };
      const behavior: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { send });
      const { reader, close } = await harness.open({
        ...{ logger: QUIET, behaviors: [behavior] },
        handlers: Told.handle(async function* ({ bad }, ctx) {
          runs++;
          yield ctx.headers.tenant;
          if (bad) return fail("BAD", "as it was told");
        }),
      });
      assertEquals(await readAll(reader.stream(Told, { bad: false })), { items: ["north"], code: undefined });
      const bad = await readAll(reader.stream(Told, { bad: true }));
      assertEquals([bad.items, bad.code, runs, results], [["north"], "BAD", 2, ["stream 1", "stream BAD"]]);
      await close();
    },
  );

  it(
    "a behavior that runs the handler again gets another run before the first item, and then the end of the first",
    async () => {
      const Twice = stream<{ items: number; end: "fails" | "throws" | "ends" }, string, "BUSY">("Twice");
      const twice: Behavior = async (_, next) => (await next(), await next());
      const atOnce: Behavior = async (_, next) => (await Promise.all([next(), next()]))[1];
      for (const behavior of [retry({ backoff: 0 }), twice, atOnce]) {
        let runs = 0;
        const { reader, close } = await harness.open({
          logger: QUIET,
          handlers: Twice.handle(async function* ({ items, end }, ctx) {
            const run = ++runs;
            for (let n = 1; n <= (run === 1 ? items : 3); n++) {
              yield `${run}.${n}`;
              await ctx.clock.sleep(1);
            }
            if (run > 1 || end === "ends") return;
            if (end === "throws") throw new Error("secret");
            return fail("BUSY", "later", { retryable: true });
          }, { behaviors: [behavior] }),
        });
        const codes = { fails: "BUSY", throws: "HANDLER_FAILED", ends: undefined };
        for (const end of ["fails", "throws", "ends"] as const) {
          runs = 0;
          const { items, code } = await readAll(reader.stream(Twice, { items: 2, end }));
          assertEquals([items, code, runs], [["1.1", "1.2"], codes[end], 1]);
        }
        for (const end of ["fails", "throws"] as const) {
          runs = 0;
          const { items, code } = await readAll(reader.stream(Twice, { items: 0, end }));
          assertEquals([items, code, runs], [["2.1", "2.2", "2.3"], undefined, 2]);
        }
        await close();
      }
    },
  );

  it("a run whose reader left is CANCELLED to the behaviors around it", async () => {
    const codes: (string | undefined)[] = [];
    const watch: Behavior = async (_, next) => {
      const result = await next();
      codes.push(result.error?.code);
      return result;
    };
    const { reader, close } = await harness.open({ logger: QUIET, handlers: count, behaviors: [watch] });
    for await (const n of reader.stream(Count, { to: 1e9 })) if (n === 10) break;
    await eventually("the run to end", () => codes.length > 0);
    assertEquals(codes, ["CANCELLED"]);
    await close();
  });

  it("what a behavior around sends throws is passed on, undefined too", async () => {
    const send: SendBehavior = () => {
      throw undefined;
    };
    const behavior: Behavior = Object.assign<Behavior, { send: SendBehavior }>((_, next) => next(), { send });
    const { reader, close } = await harness.open({ logger: QUIET, handlers: count, behaviors: [behavior] });
    const ended = await reader.stream(Count, { to: 1 }).next().catch((error) => ({ error }));
    assertEquals(ended, { error: undefined });
    await close();
  });

  it("a key function that throws is INVALID_MESSAGE", async () => {
    const Keyed = stream<{ to: number }, number>("Count", { key: ({ to }) => to.toFixed(), route: "hash" });
    const { reader, close } = await harness.open({ logger: QUIET, handlers: count });
    const error = await reader.stream(Keyed, {} as { to: number }).next().catch((error) => error);
    assertEquals(error.code, "INVALID_MESSAGE");
    await close();
  });
}
