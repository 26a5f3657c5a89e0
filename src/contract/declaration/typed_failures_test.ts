/**
 * The declared failures of a contract, for the compiler and at run time. The compiler reports an error that is expected
 * (`@ts-expect-error`) and does not come. Wrong code here is only compiled, except where it stands for plain
 * JavaScript.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { z } from "zod";
import {
  type Behavior,
  type BehaviorCodes,
  type Catga,
  catga,
  CatgaError,
  type CodeOf,
  type CodeOfBehavior,
  command,
  type Contract,
  entity,
  type ErrorCode,
  event,
  fail,
  type ProgramCode,
  query,
  type Result,
  stream,
  unwrap,
} from "../../../mod.ts";
import { logging, rateLimit, retry, timeout, tracing } from "../../behaviors/mod.ts";
import { respond } from "../../http/mod.ts";
import { MemoryNetwork, recorder } from "../../testing/mod.ts";
import type { AnyContract } from "./contract.ts";
import type { BroadcastResult } from "../calls/sender.ts";
import type { Code } from "../../error.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;

/** Compiles only if its type argument is `true`, as for two equal types: `same<Equal<A, B>>()`. */
function same<_ extends true>(): void {}

/** Takes a function that the compiler has to check, and does not call it. */
function compiles(read: (app: Catga) => unknown): void {
  assertEquals(typeof read, "function");
}

interface Seats {
  seats: number;
}
type Refused = "SOLD_OUT" | "TOO_MANY";

const Reserve = command<Seats, string, Refused>("Reserve", { key: ({ seats }) => `${seats}` });
const Free = query<void, number, "NO_SUCH_SHOW">("Free");
const Open = command<Seats, string>("Open");
const Told = event<Seats>("Told");
const Book = command("Book", {
  input: z.object({ seats: z.number(), on: z.iso.date().transform((text) => new Date(text)) }),
  output: z.object({ ref: z.string() }),
  failures: ["SOLD_OUT", "TOO_MANY"],
});
const Listed = query<Seats, string, Refused>("Listed", { failures: ["SOLD_OUT", "TOO_MANY"] });

describe("types of failures", () => {
  it("a code is one of the contract's or one of Catga's", () => {
    compiles(async (app) => {
      const result = await app.send(Reserve, { seats: 1 });
      same<Equal<typeof result, Result<string, Refused>>>();
      if (result.ok) return;
      same<Equal<typeof result.error.code, Refused | ErrorCode>>();
      // @ts-expect-error the code belongs neither to the contract nor to Catga
      return result.error.code === "SOLD_OTU";
    });
    same<Equal<CodeOf<typeof Reserve>, Refused | ErrorCode>>();
  });

  it("a switch with all cases is exhaustive; one without a case does not compile", () => {
    const exhaustive = (code: CodeOf<typeof Reserve>): string => {
      switch (code) {
        case "SOLD_OUT":
          return "no seats are left";
        case "TOO_MANY":
          return "fewer, please";
        default:
          return code satisfies ErrorCode;
      }
    };
    assertEquals([exhaustive("SOLD_OUT"), exhaustive("TIMEOUT")], ["no seats are left", "TIMEOUT"]);
    compiles(async (app) => {
      const { error } = await app.send(Reserve, { seats: 1 });
      switch (error?.code) {
        case undefined:
        case "SOLD_OUT":
          return;
        default:
          // @ts-expect-error the code TOO_MANY has no case in the switch
          error.code satisfies ErrorCode;
      }
    });
    compiles(async (app) => {
      const { error } = await app.send(Open, { seats: 1 });
      // @ts-expect-error any string, as the contract names no failures
      error?.code satisfies ErrorCode | undefined;
    });
  });

  it("a contract without failures has results and handlers as before", () => {
    compiles(async (app) => {
      const result = await app.send(Open, { seats: 1 });
      same<Equal<typeof result, Result<string>>>();
      const error = result.error;
      same<Equal<typeof error, CatgaError | undefined>>();
      same<Equal<CodeOf<typeof Open>, Code>>();
      const code: string = JSON.parse('"ANY"');
      Open.handle(() => fail("ANYTHING", "goes"));
      Open.handle(() => fail(code, "goes"));
    });
  });

  it("a handler fails with the contract's codes alone", () => {
    const code: string = JSON.parse('"ANY"');
    compiles((app) => [
      Reserve.handle(({ seats }) => seats > 9 ? fail("TOO_MANY", "9 at most") : "A1"),
      Reserve.handle(async ({ seats }) => seats > 9 ? fail("SOLD_OUT", await Promise.resolve("gone")) : "A1"),
      Reserve.handle(({ seats }) => fail(seats > 9 ? "TOO_MANY" : "SOLD_OUT", "no", { final: true })),
      // @ts-expect-error the contract does not declare this failure code
      Reserve.handle(() => fail("SOLD_OTU", "none left")),
      // @ts-expect-error the contract does not declare this failure code, which an async handler returns
      Reserve.handle(async () => fail("SOLD_OTU", await Promise.resolve("none left"))),
      // @ts-expect-error a handler may not make a failure with one of Catga's own codes
      Reserve.handle(() => fail("TIMEOUT", "too late")),
      // @ts-expect-error the code is any string, and the contract declares its failure codes
      Reserve.handle(() => fail(code, "no")),
      Reserve.handle(async (order, ctx) => {
        const inner = await ctx.send(Reserve, order);
        return inner.ok ? inner.value : inner;
      }),
      Reserve.handle(async (order, ctx) => {
        const published = await ctx.publish(Told, order);
        return published.ok ? "A1" : published;
      }),
      // @ts-expect-error another contract's failure has to be mapped
      Reserve.handle(async (_, ctx) => {
        const free = await ctx.send(Free);
        return free.ok ? `${free.value}` : free;
      }),
      Open.handle(async (_, ctx) => {
        const free = await ctx.send(Free);
        return free.ok ? `${free.value}` : free;
      }),
      app,
    ]);
  });

  it("sendAll, broadcast, ctx.send, unwrap, Result and Contract carry the codes, or take any", () => {
    compiles(async (app) => {
      const all = await app.sendAll(Reserve, [{ seats: 1 }]);
      same<Equal<typeof all, Result<string, Refused>[]>>();
      const nodes = await app.broadcast(Free);
      same<Equal<typeof nodes, BroadcastResult<number, "NO_SUCH_SHOW">[]>>();
      same<Equal<typeof nodes[0]["result"], Result<number, "NO_SUCH_SHOW">>>();
      const published = await app.publish(Told, { seats: 1 });
      same<Equal<typeof published, Result<void, never>>>();
      Open.handle(async (order, ctx) => {
        const inner = await ctx.send(Reserve, order);
        same<Equal<typeof inner, Result<string, Refused>>>();
        return unwrap(inner);
      });
      const value = unwrap(all[0]);
      same<Equal<typeof value, string>>();
      const wide: Result<string> = all[0];
      const contract: Contract<"command", Seats, string> = Reserve;
      const any: AnyContract = Reserve;
      // @ts-expect-error the send may fail with more codes than this type allows
      const narrow: Result<string, "SOLD_OUT"> = all[0];
      // @ts-expect-error the contract may fail with more codes than this type allows
      const other: Contract<"command", Seats, string, "SOLD_OUT"> = Reserve;
      return [wide, contract, any, narrow, other];
    });
  });

  it("schemas: payload, answer and failures are inferred together, and agree with type arguments", () => {
    compiles(async (app) => {
      Book.handle(({ on, seats }) => {
        same<Equal<typeof on, Date>>();
        return seats > 9 ? fail("TOO_MANY", "9 at most") : { ref: `${on.getTime()}` };
      });
      // @ts-expect-error the contract does not declare this failure code
      Book.handle(() => fail("SOLD_OTU", "none left"));
      const booked = await app.send(Book, { seats: 1, on: "2026-11-20" });
      same<Equal<typeof booked, Result<{ ref: string }, Refused>>>();
      // @ts-expect-error the option names a failure code that the type argument lacks
      command<Seats, string, "SOLD_OUT">("X", { failures: ["TOO_MANY"] });
      // @ts-expect-error an event has no failure codes, because its handlers return no answer
      event("X", { failures: ["SOLD_OUT"] });
      // @ts-expect-error codes are strings
      query("X", { failures: [7] });
    });
  });

  it("behaviors and the recorder take contracts with failures", () => {
    const refusing: Behavior = () => fail("FORBIDDEN", "no");
    const messages = recorder();
    compiles(async () => {
      Reserve.handle(() => "A1", { behaviors: [retry({ on: ["SOLD_OUT"] }), refusing] });
      const record = await messages.next(Reserve);
      same<Equal<typeof record.result, Result<string, Refused> | undefined>>();
      same<Equal<ReturnType<typeof messages.sent<Seats, string, Refused>>[0]["payload"], Seats>>();
    });
  });

  it("a behavior declares its codes: a handler takes it whose contract may fail with them", () => {
    const allow: Behavior<"FORBIDDEN"> = (_, next) => next();
    const plain: Behavior = (_, next) => next();
    const Limited = command<Seats, string, Refused | "RATE_LIMITED">("Limited");
    const Listed = query<Seats, string, "FORBIDDEN">("Listed");
    const Items = stream<Seats, string, "FORBIDDEN">("Items");
    const Show = entity("Show", { initial: () => ({ seats: 0 }) });
    compiles((app) => [
      Open.handle(() => "A1", { behaviors: [allow, rateLimit({ rate: 1 }), plain] }),
      Limited.handle(() => "A1", { behaviors: [plain, rateLimit({ rate: 1 })] }),
      Listed.handle(() => "A1", { behaviors: [allow, retry(), timeout(5), logging()] }),
      Items.handle(() => ["A1"], { behaviors: [allow] }),
      Told.on(() => {}, { behaviors: [allow, rateLimit({ rate: 1 })] }),
      catga({ behaviors: [allow, rateLimit({ rate: 1 }), tracing()] }),
      // @ts-expect-error the contract may not fail with FORBIDDEN
      Limited.handle(() => "A1", { behaviors: [allow] }),
      // @ts-expect-error the contract may not fail with RATE_LIMITED
      Reserve.handle(() => "A1", { behaviors: [rateLimit({ rate: 1 })] }),
      // @ts-expect-error the contract may not fail with RATE_LIMITED
      Items.handle(() => ["A1"], { behaviors: [rateLimit({ rate: 1 })] }),
      // @ts-expect-error the contract may not fail with RATE_LIMITED
      Show.handle(Reserve, () => "A1", { behaviors: [rateLimit({ rate: 1 })] }),
      // @ts-expect-error codes are strings
      ((_, next) => next()) satisfies Behavior<7>,
      app.send(Limited, { seats: 1 }).then(({ error }) => error?.code === "RATE_LIMITED"),
      // @ts-expect-error neither the contract nor a behavior fails with this code
      app.send(Limited, { seats: 1 }).then(({ error }) => error?.code === "FORBIDDEN"),
      app.send(Limited, { seats: 1 }).then((result) => respond(result, { failures: { RATE_LIMITED: 429 } })),
      // @ts-expect-error neither the contract nor a behavior fails with this code
      app.send(Limited, { seats: 1 }).then((result) => respond(result, { failures: { FORBIDDEN: 403 } })),
    ]);
  });

  it("behaviors that a program names add their codes; others add none", () => {
    const allow: Behavior<"FORBIDDEN" | "UNKNOWN_USER"> = (_, next) => next();
    const inferred = (_: unknown, next: Parameters<Behavior>[1]) => next();
    const behaviors = [allow, rateLimit({ rate: 1 }), logging(), inferred] as const;
    const list = [allow, rateLimit({ rate: 1 }), logging()];
    type Codes = "FORBIDDEN" | "UNKNOWN_USER" | "RATE_LIMITED";
    same<Equal<BehaviorCodes<{ behaviors: typeof behaviors }>, Codes>>();
    same<Equal<BehaviorCodes<{ behaviors: typeof list }>, Codes>>();
    same<Equal<BehaviorCodes<{ behaviors: [Behavior] }>, never>>();
    same<Equal<BehaviorCodes<{ caller: string }>, never>>();
    same<Equal<ProgramCode, never>>();
    same<Equal<CodeOfBehavior<typeof inferred>, never>>();
    assertEquals(behaviors.length, 4);
  });

  it("errors: a code of one's own or of Catga's", () => {
    const error: CatgaError<"SOLD_OUT"> = new CatgaError("SOLD_OUT", "none left");
    same<Equal<typeof error.code, "SOLD_OUT" | ErrorCode>>();
    assertEquals(error.code, "SOLD_OUT");
    const caught: unknown = error;
    assert(caught instanceof CatgaError);
    same<Equal<typeof caught.code, Code>>();
  });
});

describe("failures at run time", () => {
  /** Returns a failure with any code, as a handler in plain JavaScript can. */
  // deno-lint-ignore no-explicit-any -- a wrong type is what these tests pass
  const untyped = (code: string): any => fail(code, "none left", { details: 7 });
  const handlers = [
    Listed.handle(({ seats }) => seats === 1 ? fail("SOLD_OUT", "none left") : untyped("SOLD_OTU")),
    Book.handle(({ seats }) => {
      if (seats === 1) throw new CatgaError("SOLD_OUT", "none left");
      throw seats === 2 ? new CatgaError("SOLD_OTU", "none left") : new CatgaError("UNAVAILABLE", "passed on");
    }),
    Reserve.handle(() => untyped("SOLD_OTU")),
  ];
  const book = (seats: number) => ({ seats, on: "2026-11-20" });

  /** Runs a test with an app that has the handlers in its own process, then with a client of another node. */
  async function eachWay(test: (app: Catga) => Promise<void>): Promise<void> {
    await using alone = await catga({ handlers });
    await test(alone);
    const network = new MemoryNetwork();
    await using _server = await catga({ network, handlers });
    await using client = await catga({ network });
    await test(client);
  }

  it("a handler that fails with none of the listed codes: INVALID_RESPONSE, which names both", async () => {
    await eachWay(async (app) => {
      assertEquals((await app.send(Listed, { seats: 1 })).error?.code, "SOLD_OUT");
      const { error } = await app.send(Listed, { seats: 2 });
      assert(error !== undefined);
      assertEquals([error.code, error.message], [
        "INVALID_RESPONSE",
        "the handler of Listed failed with SOLD_OTU, which is none of its failures (SOLD_OUT, TOO_MANY): none left",
      ]);
    });
  });

  it("what a handler throws is checked as what it returns; Catga's own codes pass", async () => {
    await eachWay(async (app) => {
      assertEquals((await app.send(Book, book(1))).error?.code, "SOLD_OUT");
      const refused = (await app.send(Book, book(2))).error;
      assertEquals(refused?.code, "INVALID_RESPONSE");
      assertStringIncludes(refused?.message ?? "", "SOLD_OTU");
      assertEquals((await app.send(Book, book(3))).error?.code, "UNAVAILABLE");
    });
  });

  it("final: a failure with a code that is not listed is kept under the id all the same", async () => {
    let runs = 0;
    const Pay = command("Pay", {
      input: z.object({ order: z.string() }),
      failures: ["DECLINED"],
      idempotent: true,
      id: ({ order }) => order,
    });
    // deno-lint-ignore no-explicit-any -- as from JavaScript
    const pay = Pay.handle((): any => {
      runs++;
      return fail("DECLIEND", "no money", { final: true });
    });
    await using app = await catga({ handlers: pay });
    for (let i = 0; i < 2; i++) {
      const { error } = await app.send(Pay, { order: "7" });
      assertEquals([error?.code, error?.final, runs], ["INVALID_RESPONSE", true, 1]);
    }
  });

  it("codes that are given as types alone are not checked", async () => {
    await eachWay(async (app) => {
      const code: string | undefined = (await app.send(Reserve, { seats: 1 })).error?.code;
      assertEquals(code, "SOLD_OTU");
    });
  });

  it("the codes of behaviors pass: the handler did not run", async () => {
    const refusing: Behavior = () => fail("FORBIDDEN", "no");
    const throwing: Behavior = () => {
      throw new CatgaError("FORBIDDEN", "no");
    };
    for (const behavior of [refusing, throwing]) {
      await using app = await catga({ handlers, behaviors: [behavior] });
      const code: string | undefined = (await app.send(Listed, { seats: 1 })).error?.code;
      assertEquals(code, "FORBIDDEN");
    }
  });
});
