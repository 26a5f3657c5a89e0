/**
 * The types of payloads and results that can be sent, as the compiler sees them. `deno check` is the test; running the
 * file shows only the names of the tests.
 */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import * as v from "valibot";
import { z } from "zod";
import {
  type Catga,
  catga,
  command,
  type ErrorCode,
  event,
  fail,
  type InputOf,
  type OutputOf,
  query,
  type Schema,
  unwrap,
} from "../../../mod.ts";
import { Account } from "../../../test/support/payloads.ts";
import type { Unsendable } from "./sendable.ts";
import { MemoryNetwork } from "../../testing/mod.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_T extends true>(): void {}

interface Order {
  readonly sku: string;
  readonly at: Date;
  readonly tags?: readonly string[];
  readonly lines: ReadonlyMap<string, { readonly n: bigint }>;
  readonly more: readonly Order[];
}
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Id = string & { readonly __brand: "id" };
declare const brand: unique symbol;
type Branded = { readonly n: number } & { readonly [brand]: "branded" };
/** A type with eight references to itself, and one to another type that refers back to it. */
interface Model {
  readonly value: Order;
  readonly a: Model;
  readonly b?: Model;
  readonly c: Model | null;
  readonly d: readonly Model[];
  readonly e: ReadonlyMap<string, Model>;
  readonly f: Set<Model>;
  readonly g: { readonly model: Model };
  readonly h: [Model, Model?];
  readonly other: Other;
}
interface Other {
  readonly a: Model;
  readonly b: Other[];
  readonly c: Map<string, Model>;
  readonly d: Third;
}
interface Third {
  readonly a: Other;
  readonly b: Model;
  readonly c?: Third;
}
/** Like `Model`, but with a function, which cannot be sent, three members deep. */
interface Broken {
  readonly a: Broken;
  readonly b?: Broken;
  readonly c: Broken | null;
  readonly d: readonly Broken[];
  readonly e: ReadonlyMap<string, Broken>;
  readonly f: Set<Broken>;
  readonly g: { readonly deep: { readonly close: () => void } };
  readonly h: [Broken, Broken?];
}
/** A type that refers to itself, each time with another type argument. */
interface Growing<T> {
  readonly value: T;
  readonly next?: Growing<T[]>;
}
declare const key: unique symbol;
declare class Marked {
  readonly id = "";
  [Symbol.dispose](): void;
}
class Plain {
  readonly id = "";
}
enum Color {
  Red,
  Blue = "blue",
}

describe("contracts that compile", () => {
  it("of everything that can be sent", () => {
    const contracts = [
      command<Order, Set<number>>("A", { key: ({ sku }) => sku }),
      command("B"),
      command<unknown, unknown>("C"),
      // deno-lint-ignore no-explicit-any
      command<{ x: any }, any>("D"),
      command<Json, Json>("E"),
      query<{ id: Id; kind: "a" | "b"; at: [number, Date?]; branded: Branded }, Color | undefined>("F"),
      query<void, Uint8Array | ArrayBuffer | Float64Array | DataView | null>("G"),
      query<Record<string, Date>, Partial<Order>[]>("H"),
      event<{ name: string; message: string; stack?: string }>("I"),
      event<object>("J"),
      query<Model, Other>("Model"),
      command<Other, Third[]>("Other"),
      event<Growing<string>>("Growing"),
      event<Plain>("Plain"),
      query<{ readonly id: string } & { readonly [key]: { readonly Order: true } }>("BrandOfZod"),
      query<{ readonly id: string } & { readonly [key]?: never }>("BrandWithoutValue"),
      event<never>("K"),
      event<Map<Date, Set<bigint>>>("L"),
      // deno-lint-ignore ban-types
      event<{}>("M"),
      command<{ at: Temporal.Instant; days: Map<Temporal.PlainDate, Temporal.Duration> }, Temporal.ZonedDateTime>("N"),
    ];
    const names = "A B C D E F G H I J Model Other Growing Plain BrandOfZod BrandWithoutValue K L M N";
    assertEquals(contracts.map(({ name }) => name).join(" "), names);
  });

  it("of a name that is computed, and of a type that a caller gives", () => {
    const prefix: string = "orders";
    /** A generic function, which cannot check the type argument that its caller gives. */
    const contractOf = <T>(name: string) => query<void, T>(name as never);
    const Total = contractOf<bigint>(`${prefix}.Total`);
    same<Equal<OutputOf<typeof Total>, bigint>>();
    assertEquals([Total.name, command<Order>(`${prefix}.Create`).name], ["orders.Total", "orders.Create"]);
  });

  it("of schemas: what is sent is the input of one, and what the handler returns", () => {
    const Book = command("Book", {
      input: z.object({ at: z.date(), seats: z.number().default(1) }),
      output: z.object({ ref: z.string(), on: z.map(z.string(), z.bigint()) }),
    });
    same<Equal<InputOf<typeof Book>, { at: Date; seats?: number | undefined }>>();
    same<Equal<OutputOf<typeof Book>, { ref: string; on: Map<string, bigint> }>>();
    // types that a schema makes in one process need not be sendable
    const Pay = command("Pay", {
      input: z.object({ id: z.string() }).transform(({ id }) => new Account(id)),
      output: v.pipe(v.string(), v.transform((text) => new URL(text))),
    });
    same<Equal<InputOf<typeof Pay>, { id: string }>>();
    same<Equal<OutputOf<typeof Pay>, URL>>();
    assertEquals([Book.name, Pay.name], ["Book", "Pay"]);
  });
});

describe("contracts that do not compile", () => {
  it("say which part cannot be sent", () => {
    same<Equal<Unsendable<{ account: Account }>, "payload.account.close">>();
    same<Equal<Unsendable<Map<string, { f: () => void }>>, "payload.value.f">>();
    same<Equal<Unsendable<{ a: () => void; b: symbol; c: { d: () => void } }>, "payload.a" | "payload.b">>();
    same<Equal<Unsendable<Broken>, "payload.g.deep.close">>();
    same<Equal<Unsendable<{ x: Marked[] }>, "payload.x[][Symbol.dispose]">>();
    same<Equal<Unsendable<{ x: { [key]: string } }>, "payload.x[symbol]">>();
    same<Equal<Unsendable<Model>, never>>();

    const contracts = [
      // @ts-expect-error a function
      () => command<() => void>("X"),
      // @ts-expect-error a function in a member
      () => command<{ x: { cb?: () => void } }>("X"),
      // @ts-expect-error a class with methods
      () => command<{ account: Account }>("X"),
      // @ts-expect-error a class with methods in an array
      () => command<{ accounts: Account[] }>("X"),
      // @ts-expect-error a class with methods as a value of a Map
      () => command<Map<string, Account>>("X"),
      // @ts-expect-error a class with methods as a key of a Map
      () => command<Map<Account, string>>("X"),
      // @ts-expect-error a class with methods in a Set
      () => command<ReadonlySet<Account>>("X"),
      // @ts-expect-error a class with methods in one member of a union
      () => command<string | { account: Account }>("X"),
      // @ts-expect-error a class with methods as a result
      () => command<string, Account>("X"),
      // @ts-expect-error a promise in a result
      () => query<string, { p: Promise<number> }>("X"),
      // @ts-expect-error a symbol
      () => command<{ s: symbol }>("X"),
      // @ts-expect-error a WeakMap
      () => command<WeakMap<object, string>>("X"),
      // @ts-expect-error a WeakSet
      () => event<{ seen: WeakSet<object> }>("X"),
      // @ts-expect-error a RegExp
      () => event<{ pattern: RegExp }>("X"),
      // @ts-expect-error an Error
      () => event<{ error: Error }>("X"),
      // @ts-expect-error a class that extends Error
      () => event<{ error: TypeError }>("X"),
      // @ts-expect-error a URL, which JSON would send as text
      () => event<{ at: URL }>("X"),
      // @ts-expect-error a member with a symbol as its key
      () => command<{ id: string; [key]: string }>("X"),
      // @ts-expect-error a member with a symbol as its key, and an object as its value
      () => command<{ id: string; [key]?: { n: number } }>("X"),
      // @ts-expect-error members with symbols as their keys
      () => command<Record<symbol, string>>("X"),
      // @ts-expect-error a constructor
      () => command<{ make: new () => Plain }>("X"),
      // @ts-expect-error the constructor of an abstract class
      () => command<{ make: abstract new (id: string) => Plain }>("X"),
      // @ts-expect-error a class
      () => command<typeof Plain>("X"),
      // @ts-expect-error any function
      // deno-lint-ignore ban-types
      () => command<{ call: Function }>("X"),
      // @ts-expect-error a class whose one method has a symbol as its key
      () => command<{ marked: Marked }>("X"),
      // @ts-expect-error an Iterable
      () => command<Iterable<string>>("X"),
      // @ts-expect-error an AsyncIterable
      () => query<void, { rows: AsyncIterable<string> }>("X"),
      // @ts-expect-error a model with references to itself, and a method
      () => command<Broken>("X"),
      // @ts-expect-error a model with references to itself, and a method, as a result
      () => query<void, Broken[]>("X"),
      // @ts-expect-error an AbortSignal
      () => event<{ signal: AbortSignal }>("X"),
      // @ts-expect-error a stream
      () => query<void, ReadableStream>("X"),
      // @ts-expect-error a function in the input of a schema
      () => command("X", { input: z.object({ cb: z.custom<() => void>() }) }),
      // @ts-expect-error a handler must return a sendable value, even if the schema turns it into a text
      () => query("X", { output: {} as Schema<Account, string> }),
    ];
    assertEquals(contracts.length, 33);
  });
});

describe("values and details that do not compile", () => {
  it("in the cache: what is set, and what a load returns", async () => {
    await using app = await catga();
    const { cache } = app;
    await cache.set("order", { at: new Date(7) } as Partial<Order>);
    assertEquals(await cache.getOrSet("n", () => 3), 3);
    assertEquals(await cache.getOrSet<number | string>("n", () => Promise.resolve(4)), 3);
    assertEquals(await cache.set("any", 3 as unknown), true);
    // @ts-expect-error a function
    await assertRejects(() => cache.set("x", () => 3), TypeError, "is a function");
    // @ts-expect-error a promise
    await assertRejects(() => cache.set("x", Promise.resolve(3)), TypeError, "is a promise");
    // @ts-expect-error a class with methods
    await assertRejects(() => cache.set("x", { account: new Account("a") }), TypeError, "is an instance of Account");
    // @ts-expect-error the value that the load returns is a function
    await assertRejects(() => cache.getOrSet("y", () => () => 3), TypeError, "is a function");
    const none = new Map<string, number>();
    // @ts-expect-error the value may be undefined
    await assertRejects(() => cache.set("x", none.get("tea")), TypeError, 'for "x" is undefined; keep null');
    // @ts-expect-error the value that the load returns may be undefined
    await assertRejects(() => cache.getOrSet("y", () => none.get("tea")), TypeError, 'for "y" is undefined; keep null');
    // @ts-expect-error a load that returns nothing
    await assertRejects(() => cache.getOrSet("y", () => {}), TypeError, 'for "y" is undefined; keep null');
    assertEquals(await cache.getOrSet("y", () => none.get("tea") ?? null), null);
  });

  it("in a failure", () => {
    const failures = [
      fail("X", "x", { details: { left: 3, at: new Date(7) } }),
      fail("X", "x", { details: undefined, retryable: true }),
      fail<"X">("X", "x", { details: "left" }),
      fail("X", "x", { details: 3 as unknown }),
      // @ts-expect-error a function
      fail("X", "x", { details: () => 3 }),
      // @ts-expect-error a function in a member
      fail("X", "x", { details: { left: 3, more: () => 3 } }),
      // @ts-expect-error a class with methods
      fail("X", "x", { details: new Account("a") }),
    ];
    same<Equal<(typeof failures)[number]["error"]["code"], "X" | ErrorCode>>();
    assertEquals(failures.every(({ ok }) => !ok), true);
  });
});

describe("schemas of values that JSON lacks", () => {
  const Zod = command("Zod", {
    input: z.object({ at: z.date(), seats: z.map(z.string(), z.bigint()), tags: z.set(z.string()).optional() }),
    output: z.object({ at: z.date(), total: z.bigint(), nan: z.nan(), seats: z.map(z.string(), z.bigint()) }),
  });
  const Valibot = command("Valibot", {
    input: v.object({ at: v.date(), seats: v.map(v.string(), v.bigint()), tags: v.optional(v.set(v.string())) }),
    output: v.object({ at: v.date(), total: v.bigint(), nan: v.nan(), seats: v.map(v.string(), v.bigint()) }),
  });
  const total = (seats: Map<string, bigint>) => [...seats.values()].reduce((sum, n) => sum + n, 0n);
  const handlers = [
    Zod.handle(({ at, seats }) => ({ at, seats, total: total(seats), nan: NaN })),
    Valibot.handle(({ at, seats }) => ({ at, seats, total: total(seats), nan: NaN })),
  ];
  const payload = () => ({ at: new Date(7), seats: new Map([["a", 1n], ["b", 2n]]), tags: new Set(["x"]) });
  const answer = { at: new Date(7), seats: new Map([["a", 1n], ["b", 2n]]), total: 3n, nan: NaN };

  async function accepted(app: Catga): Promise<void> {
    assertEquals(unwrap(await app.send(Zod, payload())), answer);
    assertEquals(unwrap(await app.send(Valibot, payload())), answer);
    const wrong = { at: "1970-01-01" as unknown as Date, seats: new Map<string, bigint>() };
    for (const contract of [Zod, Valibot]) {
      assertEquals((await app.send(contract, wrong)).error?.code, "INVALID_MESSAGE");
    }
  }

  it("accept them alone", async () => {
    await using app = await catga({ handlers });
    await accepted(app);
  });

  it("accept them in a cluster, where both sides check", async () => {
    const network = new MemoryNetwork();
    await using _node = await catga({ network, id: "node", handlers });
    await using app = await catga({ network, id: "app" });
    await accepted(app);
  });
});
