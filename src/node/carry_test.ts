/**
 * Tests of the option `carry`: headers of a message that the messages sent by its handler inherit, in one process and
 * through several nodes.
 */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { type Catga, catga, type CatgaOptions, event, type Handlers, query, unwrap } from "../../mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";

type Headers = Readonly<Record<string, string>>;
interface Step {
  how: "send" | "sendAll" | "broadcast" | "own" | "drop";
}

const First = query<Step, Headers>("First");
const Second = query<Step, Headers>("Second");
const Third = query<void, Headers>("Third");
const Done = event("Done");

const CARRIED = { "x-user": "ann", "x-tenant": "north" };
const GIVEN = { ...CARRIED, "x-other": "stays", traceparent: "t" };
const ARRIVES = { ...CARRIED, traceparent: "t" };

function first(): Handlers {
  return First.handle(async (step, ctx) => unwrap(await ctx.send(Second, step)));
}

function second(): Handlers {
  return Second.handle(async ({ how }, ctx) => {
    switch (how) {
      case "send":
        return unwrap(await ctx.send(Third));
      case "sendAll":
        return unwrap((await ctx.sendAll(Third, [undefined]))[0]);
      case "broadcast":
        return unwrap((await ctx.broadcast(Third))[0].result);
      case "own":
        return unwrap(await ctx.send(Third, undefined, { headers: { "x-user": "bob", "x-more": "1" } }));
      case "drop":
        return unwrap(await ctx.send(Third, undefined, { headers: { "x-user": "" } }));
    }
  });
}

function third(): Handlers {
  return Third.handle((_, ctx) => ({ ...ctx.headers }));
}

const carry = ["x-user", "x-tenant"];

/** Runs a test with all handlers in one process, then with each handler on a node of its own. */
async function eachWay(options: CatgaOptions, test: (app: Catga) => Promise<void>): Promise<void> {
  await using alone = await catga({ ...options, handlers: [first(), second(), third()] });
  await test(alone);
  const network = new MemoryNetwork();
  await using _first = await catga({ ...options, network, handlers: first() });
  await using _second = await catga({ ...options, network, handlers: second() });
  await using _third = await catga({ ...options, network, handlers: third() });
  await using client = await catga({ ...options, network });
  await test(client);
}

describe("carry", () => {
  for (const how of ["send", "sendAll", "broadcast"] as const) {
    it(`${how}: the named headers go on through handlers, as the trace does; others do not`, async () => {
      await eachWay({ carry }, async (app) => {
        assertEquals(unwrap(await app.send(First, { how }, { headers: GIVEN })), ARRIVES);
        assertEquals(unwrap(await app.send(First, { how })), {});
      });
    });
  }

  it("publish: they go on with events, and with what the handlers of events send", async () => {
    for (const network of [undefined, new MemoryNetwork()]) {
      const heard = Promise.withResolvers<Headers>();
      const Late = query("Late");
      const options: CatgaOptions = { carry, network };
      await using app = await catga({
        ...options,
        handlers: [
          Late.handle(async (_, ctx) => void await ctx.publish(Done)),
          Done.on(async (_, ctx) => heard.resolve(unwrap(await ctx.send(Third)))),
          third(),
        ],
      });
      assertEquals((await app.send(Late, undefined, { headers: GIVEN })).ok, true);
      assertEquals(await heard.promise, ARRIVES);
    }
  });

  it("a header of the send itself wins", async () => {
    await eachWay({ carry }, async (app) => {
      const own = unwrap(await app.send(First, { how: "own" }, { headers: GIVEN }));
      assertEquals(own, { ...ARRIVES, "x-user": "bob", "x-more": "1" });
      const dropped = unwrap(await app.send(First, { how: "drop" }, { headers: GIVEN }));
      assertEquals(dropped, { ...ARRIVES, "x-user": "" });
    });
  });

  it("without it the trace alone goes on", async () => {
    await eachWay({}, async (app) => {
      assertEquals(unwrap(await app.send(First, { how: "send" }, { headers: GIVEN })), { traceparent: "t" });
    });
  });

  it("a name that every object has is no header that was not sent", async () => {
    await eachWay({ carry: ["constructor"] }, async (app) => {
      assertEquals(unwrap(await app.send(First, { how: "send" })), {});
      const sent = unwrap(await app.send(First, { how: "send" }, { headers: { constructor: "c" } }));
      assertEquals(sent, { constructor: "c" });
    });
  });

  const names = 'must be 1 to 64 lower-case letters, digits, "-", "_" and "."; got';
  const wrong: [what: string, carry: unknown, name: string, message: string][] = [
    ["no array", "x-user", "TypeError", 'carry must be an array of names of headers; got "x-user"'],
    ["no string", [7], "TypeError", `carry[0] ${names} 7`],
    ["an upper-case letter", ["x-a", "X-User"], "TypeError", `carry[1] ${names} "X-User"`],
    ["an empty name", [""], "TypeError", `carry[0] ${names} ""`],
    ["a long name", ["x".repeat(65)], "TypeError", `carry[0] ${names} "${"x".repeat(65)}"`],
    ["a prototype", ["__proto__"], "TypeError", `carry[0] ${names} "__proto__"`],
    ["a header of the trace", ["baggage"], "TypeError", "carry[0]: baggage is passed on without it: leave it out"],
    [
      "a header of NATS",
      ["nats-msg-id"],
      "TypeError",
      "carry[0]: nats-msg-id is reserved: choose a name without the prefixes nats- and catga-",
    ],
    [
      "a header of Catga",
      ["catga-key"],
      "TypeError",
      "carry[0]: catga-key is reserved: choose a name without the prefixes nats- and catga-",
    ],
    [
      "too many",
      Array.from({ length: 33 }, (_, i) => `x-${i}`),
      "RangeError",
      "carry takes 32 names of headers at most; got 33",
    ],
  ];
  for (const [what, carry, name, message] of wrong) {
    it(`${what}: refused`, async () => {
      const error = await assertRejects(() => catga({ carry } as CatgaOptions), Error);
      assertEquals([error.name, error.message], [name, message]);
    });
  }
});
