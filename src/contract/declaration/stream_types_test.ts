/**
 * The types of streams, as the compiler sees them (`deno check` is the test), and invalid options, which throw when the
 * tests run.
 */
import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import {
  type Catga,
  type CodeOf,
  type Context,
  type ErrorCode,
  fail,
  type InputOf,
  type OutputOf,
  stream,
} from "../../../mod.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_T extends true>(): void {}

interface Line {
  readonly n: number;
  readonly text: string;
}

const Tail = stream<{ from: number }, Line, "NO_FILE">("Tail", {
  key: ({ from }) => `${from}`,
  route: "hash",
  resume: (input, last) => ({ from: last === undefined ? input.from : last.n + 1 }),
});
const Ticks = stream<void, number>("Ticks");
const Parsed = stream("Parsed", {
  input: z.object({ day: z.string().transform((text) => new Date(text)) }),
  items: z.string().transform((text) => BigInt(text)),
  failures: ["CLOSED_TODAY"],
});

/** Only compiled, to check the types of streams; never called. */
export async function reads(app: Catga, ctx: Context): Promise<void> {
  for await (const line of app.stream(Tail, { from: 1 }, { idle: 1_000 })) is<Equal<typeof line, Line>>();
  for await (const n of ctx.stream(Ticks)) is<Equal<typeof n, number>>();
  for await (const n of app.stream(Parsed, { day: "2026-01-01" })) is<Equal<typeof n, bigint>>();
  is<Equal<InputOf<typeof Tail>, { from: number }>>();
  is<Equal<OutputOf<typeof Tail>, Line>>();
  is<Equal<CodeOf<typeof Tail>, "NO_FILE" | ErrorCode>>();
  is<Equal<CodeOf<typeof Parsed>, "CLOSED_TODAY" | ErrorCode>>();
  // @ts-expect-error: the input has another type than the stream's
  app.stream(Tail, { from: "1" });
  // @ts-expect-error: the stream's input is missing
  app.stream(Tail);
  // @ts-expect-error: `stream` does not take the option `id`
  app.stream(Ticks, undefined, { id: "1" });
  // @ts-expect-error: `send` takes no stream
  await app.send(Tail, { from: 1 });
  // @ts-expect-error: `publish` takes no stream
  await app.publish(Tail, { from: 1 });
}

describe("stream", () => {
  it("takes generators, other iterables and failures of its own codes", () => {
    const handlers = [
      Tail.handle(async function* ({ from }, ctx) {
        is<Equal<typeof from, number>>();
        is<Equal<typeof ctx, Context>>();
        if (from < 0) return fail("NO_FILE", "there is none");
        yield { n: from, text: "first" };
      }),
      Tail.handle(function* () {
        yield { n: 1, text: "first" };
      }),
      Tail.handle(() => [{ n: 1, text: "first" }]),
      Tail.handle(() => Promise.resolve(fail("NO_FILE", "there is none"))),
      Tail.handle((_, ctx) => ctx.stream(Tail, { from: 1 })),
      Parsed.handle(function* ({ day }) {
        is<Equal<typeof day, Date>>();
        yield "7";
      }),
    ];
    assertEquals(handlers.every(({ contract }) => contract.kind === "stream"), true);
    // @ts-expect-error: the handler yields items of another type than the stream's
    Tail.handle(async function* () {
      yield 7;
    });
    // @ts-expect-error: the stream does not declare this failure code
    Tail.handle(async function* () {
      yield { n: 1, text: "first" };
      return fail("NO_MONEY", "none");
    });
    // @ts-expect-error: the handler returns a number, not an iterable of items
    Tail.handle(() => 7);
    // @ts-expect-error: a function cannot be sent
    stream<void, () => void>("Bad");
    // @ts-expect-error: `resume` returns another type than the stream's input
    stream<{ from: number }, Line>("Bad", { resume: () => ({ from: "1" }) });
    // @ts-expect-error: streams are not ordered
    assertThrows(() => stream<string, Line>("Bad", { key: (text) => text, ordered: true }), TypeError, "ordered");
  });

  it("refuses options and names that are invalid", () => {
    for (const name of ["", "a b", "a..b"]) assertThrows(() => stream(name), TypeError, "name");
    assertThrows(() => stream("A", { idle: 0 }), RangeError, "idle");
    assertThrows(() => stream("A", { window: { items: 0 } }), RangeError, "window.items");
    assertThrows(() => stream("A", { window: { bytes: 2 ** 27 } }), RangeError, "window.bytes");
    assertThrows(() => stream("A", { resume: 7 as never }), TypeError, "resume");
    for (const fn of [7, undefined]) {
      assertThrows(() => stream("A").handle(fn as never), TypeError, "A.handle takes a function");
    }
    assertThrows(() => stream("A").handle(() => [], { retry: {} } as never), TypeError, "a stream takes no retry");
  });
});
