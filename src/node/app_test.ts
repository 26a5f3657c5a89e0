/** Tests of requests in an app without a cluster. */
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { catga } from "../catga.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { CatgaError } from "../error.ts";
import { fail, unwrap } from "../contract/calls/result.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { errorOf } from "../../test/support/error_of.ts";
import { localApp } from "../../test/support/local_app.ts";
import { counting, refusing } from "../../test/support/schemas.ts";

const Double = query<number, number>("Double");

describe("send", () => {
  it("resolves with the value of a sync or async handler", async () => {
    const Later = query<number, number>("Later");
    const handlers = [Double.handle((n) => n * 2), Later.handle((n) => Promise.resolve(n * 3))];
    const { app } = localApp({ handlers });
    assertEquals(await app.send(Double, 2), { ok: true, value: 4 });
    assertEquals(await app.send(Later, 2), { ok: true, value: 6 });
    assertEquals(await app.send(Double, 2, {}), { ok: true, value: 4 });
    assertEquals(await app.send(Later, 2, { id: "x" }), { ok: true, value: 6 });
  });

  it("a thenable that is not a Promise is awaited, as database clients return them", async () => {
    const thenable = (settle: (done: (n: number) => void, failed: (e: unknown) => void) => void) =>
      ({ then: settle }) as unknown as Promise<number>;
    const Bad = query<void, number>("Bad");
    const { app } = localApp({
      handlers: [
        Double.handle((n) => thenable((done) => done(n * 2))),
        Bad.handle(() => thenable((_, failed) => failed(new CatgaError("NO_ROW", "not there")))),
      ],
    });
    assertEquals(await app.send(Double, 2), { ok: true, value: 4 });
    assertEquals(errorOf(await app.send(Bad)).code, "NO_ROW");
  });

  it("fail(): the result has the same error object, with its details", async () => {
    const failure = fail("BAD_QUANTITY", "cannot order 0", { details: { qty: 0 }, retryable: true });
    const { app } = localApp({ handlers: Double.handle(() => failure) });
    const error = errorOf(await app.send(Double, 0));
    assertStrictEquals(error, failure.error);
    assertEquals([error.code, error.retryable, error.details], ["BAD_QUANTITY", true, { qty: 0 }]);
  });

  it("a handler that throws is HANDLER_FAILED with node and id; what was thrown is the cause, and is observed", async () => {
    const thrown = new Error("secret");
    const Later = query("Later");
    const { app, seen } = localApp({
      handlers: [
        Double.handle(() => {
          throw thrown;
        }),
        Later.handle(() => Promise.reject(thrown)),
      ],
    });
    const error = errorOf(await app.send(Double, 1, { id: "m1" }));
    assertEquals([error.code, error.node, error.retryable], ["HANDLER_FAILED", "here", false]);
    assertEquals(
      error.message,
      "the handler of Double threw on node here (message m1); the cause is in the log of that node",
    );
    assertStrictEquals(error.cause, thrown);
    assertEquals(errorOf(await app.send(Later)).code, "HANDLER_FAILED");
    assertEquals(seen[0], { type: "handler-failed", contract: "Double", id: "m1", correlationId: "m1", error: thrown });
    assertEquals(seen.length, 2);
  });

  it("a thrown CatgaError keeps its code, from unwrap as well", async () => {
    const Outer = query<number, number>("Outer");
    const { app, seen } = localApp({
      handlers: [
        Double.handle(() => {
          throw new CatgaError("OUT_OF_TEA", "none left");
        }),
        Outer.handle(async (n, ctx) => unwrap(await ctx.send(Double, n)) + 1),
      ],
    });
    assertEquals(errorOf(await app.send(Double, 1)).code, "OUT_OF_TEA");
    assertEquals(errorOf(await app.send(Outer, 1)).code, "OUT_OF_TEA");
    assertEquals(seen, []);
  });

  it("throwing undefined is a failure like any other", async () => {
    const { app } = localApp({
      handlers: Double.handle(() => {
        throw undefined;
      }),
    });
    assertEquals(errorOf(await app.send(Double, 1)).code, "HANDLER_FAILED");
  });

  it("payload and answer are passed as they are, not copied", async () => {
    const Echo = query<object, object>("Echo");
    const { app } = localApp({ handlers: Echo.handle((payload) => payload) });
    const payload = { at: new Date(), self: undefined as unknown, big: 1n };
    payload.self = payload;
    assertStrictEquals(unwrap(await app.send(Echo, payload)), payload);
    assertStrictEquals(unwrap(await app.send(Echo, payload, { id: "x" })), payload);
  });

  it("without a handler it is NO_HANDLER, which says what to do", async () => {
    const { app } = localApp();
    const error = errorOf(await app.send(Double, 1));
    assertEquals([error.code, error.message], [
      "NO_HANDLER",
      "no handler for query Double: pass one to catga() in `handlers`, or give `nats` to reach a node that has one",
    ]);
  });

  it("node: only this node's id reaches a handler", async () => {
    const { app } = localApp({ handlers: Double.handle((n) => n * 2) });
    assertEquals(await app.send(Double, 1, { node: "here" }), { ok: true, value: 2 });
    const error = errorOf(await app.send(Double, 1, { node: "there" }));
    assertEquals([error.code, error.message], [
      "NO_HANDLER",
      "node there is not live, or does not handle query Double",
    ]);
  });

  it("schemas: run exactly once, sync and async", async () => {
    for (const wrap of [<T>(value: T) => value, <T>(value: T) => Promise.resolve(value)]) {
      const input = counting((text: string) => wrap(Number(text)));
      const output = counting((n: number) => wrap(`${n}!`));
      const Parse = query("Parse", { input, output });
      const { app } = localApp({ handlers: Parse.handle((n) => n + 1) });
      assertEquals(await app.send(Parse, "41"), { ok: true, value: "42!" });
      assertEquals([input.runs, output.runs], [1, 1]);
    }
  });

  it("schemas: a thenable that a schema returns is awaited, and is not a result without issues", async () => {
    const input: Schema<number> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () =>
          ({ then: (done: (verdict: unknown) => void) => done({ issues: [{ message: "no" }] }) }) as never,
      },
    };
    const Create = query("Create", { input });
    const { app } = localApp({ handlers: Create.handle(() => {}) });
    assertEquals(errorOf(await app.send(Create, 1)).code, "INVALID_MESSAGE");
  });

  it("input schema: INVALID_MESSAGE with every issue and its path; the handler does not run", async () => {
    const input = refusing(
      { message: "too small", path: ["items", 0, { key: "qty" }] },
      { message: "unknown", path: [Symbol("s")] },
      { message: "no path" },
    );
    const Create = command("Create", { input });
    let ran = 0;
    const { app } = localApp({ handlers: Create.handle(() => void ran++) });
    const error = errorOf(await app.send(Create, {}));
    assertEquals([error.code, ran], ["INVALID_MESSAGE", 0]);
    assertEquals(error.details, [
      { message: "too small", path: ["items", 0, "qty"] },
      { message: "unknown", path: ["Symbol(s)"] },
      { message: "no path", path: [] },
    ]);
    assertEquals(
      error.message,
      "the payload of Create does not fit its schema at items.0.qty: too small (and 2 more, see details)",
    );
  });

  it("output schema: INVALID_RESPONSE; a failure is not checked", async () => {
    const Create = query<number, never, "NONE", number, number>("Create", {
      output: refusing({ message: "not a price", path: [] }) as Schema<number, never>,
    });
    const { app } = localApp({ handlers: Create.handle((n) => n > 0 ? n : fail("NONE", "none")) });
    const error = errorOf(await app.send(Create, 1));
    assertEquals([error.code, error.message], [
      "INVALID_RESPONSE",
      "the answer of Create does not fit its schema: not a price",
    ]);
    assertEquals(errorOf(await app.send(Create, 0)).code, "NONE");
  });

  it("a schema that throws or rejects: a result, what it threw is the cause", async () => {
    const thrown = new Error("bug");
    const throwing = counting<number, number>(() => {
      throw thrown;
    });
    const rejecting = counting<number, number>(() => Promise.reject(thrown));
    for (const schema of [throwing, rejecting]) {
      const In = query<number, number>("In", { input: schema });
      const Out = query<number, number>("Out", { output: schema });
      const { app } = localApp({ handlers: [In.handle((n) => n), Out.handle((n) => n)] });
      const [input, output] = [errorOf(await app.send(In, 1)), errorOf(await app.send(Out, 1))];
      assertEquals([input.code, output.code], ["INVALID_MESSAGE", "INVALID_RESPONSE"]);
      assertStrictEquals(input.cause, thrown);
      assertEquals(input.details, [{ message: "the schema threw", path: [] }]);
    }
  });

  it("key: is not called with a payload that does not fit the schema", async () => {
    const asked: unknown[] = [];
    const Create = command<{ sku: string }, void>("Create", {
      input: refusing({ message: "no object" }) as Schema<{ sku: string }>,
      key: (order) => (asked.push(order), order.sku),
    });
    const { app } = localApp({ handlers: Create.handle(() => {}) });
    const outside: { sku: string } = JSON.parse("null");
    assertEquals(errorOf(await app.send(Create, outside)).code, "INVALID_MESSAGE");
    assertEquals(asked, []);
  });

  it('route "hash" without a key is a TypeError, with one candidate or none as with many', async () => {
    const Find = query<string, string>("Find", { route: "hash" } as never);
    const { app } = localApp({ handlers: Find.handle((name) => name) });
    assertThrows(
      () => app.send(Find, "tea"),
      TypeError,
      'send Find: route "hash" needs a key: give the contract a key function, or the send a key',
    );
    assertEquals((await app.send(Find, "tea", { key: "t" })).value, "tea");
  });

  it("misuse throws, and says what was wrong", () => {
    const { app } = localApp({ handlers: Double.handle((n) => n * 2) });
    // deno-lint-ignore no-explicit-any -- wrong types are what this test passes
    const untyped = app as unknown as Record<keyof Catga, (...args: any[]) => unknown>;
    const Tick = event("Tick");
    const takes = "id, firstSent, key, node, route, timeout, retries, signal, headers";
    const token = 'must be 1 to 64 letters, digits, "-" and "_"';
    const bad: [() => unknown, string][] = [
      [() => untyped.send(), "send: the first argument must be what command(…) or query(…) gives; got undefined"],
      [
        () => untyped.send("Double", 1),
        'send: the first argument must be what command(…) or query(…) gives; got "Double"',
      ],
      [
        () => untyped.send(Tick),
        "send: the first argument must be what command(…) or query(…) gives; got event Tick: publish it",
      ],
      [
        () => untyped.publish(Double, 1),
        "publish: the first argument must be what event(…) gives; got query Double: send it",
      ],
      [
        () => untyped.send(Double.handle((n) => n), 1),
        "send: the first argument must be what command(…) or query(…) gives; got a handler: give its contract, Double",
      ],
      [
        () => untyped.broadcast({}),
        "broadcast: the first argument must be what command(…) or query(…) or event(…) gives; got an object",
      ],
      [
        () => untyped.send({ kind: "query", name: "Double" }, 1, {}),
        "send: the first argument must be what command(…) or query(…) gives; got an object",
      ],
      [
        () => untyped.publish({ kind: "event", name: "Tick" }),
        "publish: the first argument must be what event(…) gives; got an object",
      ],
      [() => untyped.publish(Tick, undefined, null), "publish Tick takes an object of options; got null"],
      [() => untyped.send(Double, 1, { timeuot: 5 }), `send Double: unknown option timeuot; it takes ${takes}`],
      [
        () => untyped.send(Double, 1, { delay: 5 }),
        "send Double: delay is of enqueue, which stores a durable command for later",
      ],
      [() => untyped.send(Double, 1, null), "send Double takes an object of options; got null"],
      [() => untyped.publish(Tick, undefined, 5), "publish Tick takes an object of options; got 5"],
      [() => app.send(Double, 1, { id: "" }), 'send Double: id must be a string of 1 to 256 characters; got ""'],
      [() => untyped.send(Double, 1, { key: 5 }), "send Double: key must be a string; got 5"],
      [() => app.send(Double, 1, { node: "a.b" }), `send Double: node ${token}; got "a.b"`],
      [
        () => untyped.send(Double, 1, { route: "nearest" }),
        "send Double: route must be one of round-robin, local-first, hash, least-loaded, random, or a function; " +
        'got "nearest"',
      ],
      [() => app.send(Double, 1, { timeout: -1 }), "send Double: timeout must be from 1 to 2147483647 ms; got -1"],
      [() => app.send(Double, 1, { retries: 0.5 }), "send Double: retries must be a whole number; got 0.5"],
      [
        () => untyped.send(Double, 1, { signal: new AbortController() }),
        "send Double: signal must be an AbortSignal; got an instance of AbortController",
      ],
      [
        () => untyped.broadcast(Double, 1, { headers: { n: 1 } }),
        "broadcast Double: headers.n must be a string; got 1",
      ],
    ];
    for (const [misuse, message] of bad) assertEquals(assertThrows(misuse, Error).message, message);
  });
});

describe("methods of an app", () => {
  for (const network of [undefined, new MemoryNetwork()]) {
    it(`watchNodes ends at return, also while next waits, ${network ? "in a cluster" : "alone"}`, async () => {
      await using app = await catga({ network });
      const changes = app.watchNodes();
      const waiting = changes.next();
      const end = { done: true, value: undefined } as const;
      assertEquals([await changes.return!(), await waiting, await changes.next()], [end, end, end]);
    });
  }

  it("an unknown option is a TypeError, in every method: a misspelt one would have no effect", async () => {
    await using app = await catga();
    // @ts-expect-error: `timout` is a misspelt `timeout`
    assertThrows(() => app.drain({ timout: 5 }), TypeError, "drain: unknown option timout; it takes timeout");
    // @ts-expect-error: `signals` is a misspelt `signal`
    assertThrows(() => app.watchNodes({ signals: true }), TypeError, "watchNodes: unknown option signals");
    // @ts-expect-error: an AbortController is no AbortSignal
    const controller = () => app.watchNodes({ signal: new AbortController() });
    assertThrows(
      controller,
      TypeError,
      "watchNodes: signal must be an AbortSignal; got an instance of AbortController",
    );
    // @ts-expect-error: `tll` is a misspelt `ttl`
    assertThrows(() => app.lead("x", () => {}, { tll: 5 }), TypeError, "lead: unknown option tll; it takes ttl");
  });
});

describe("methods taken out of their object", () => {
  it("of an app work like methods that are called on it", async () => {
    await using app = await catga({ handlers: Double.handle((n) => n * 2) });
    const { send, publish, nodes, health, lock, runs, watchNodes, drain } = app;
    assertEquals(await send(Double, 2), { ok: true, value: 4 });
    assertEquals((await publish(event("Nobody"))).ok, true);
    assertEquals([nodes().length, health().status], [1, "ready"]);
    await (await lock("a")).release();
    assertEquals((await Array.fromAsync(runs())).length, 0);
    await watchNodes().return?.();
    await drain();
    assertEquals(app.health().status, "stopped");
  });

  it("of an app are all that its interface has", async () => {
    type Method = {
      [Name in keyof Catga]: Catga[Name] extends (...args: never) => unknown ? Name : never;
    }[keyof Catga];
    // the compiler demands each public method here
    const names: Record<Extract<Method, string>, true> = {
      ...{ send: true, sendAll: true, publish: true, broadcast: true, enqueue: true, unschedule: true, load: true },
      ...{ forget: true, stream: true, start: true, result: true, tell: true, cancel: true, runs: true, follow: true },
      ...{ subscriptions: true, deadLetters: true, rewind: true, pause: true, resume: true, lock: true, lead: true },
      ...{ nodes: true, watchNodes: true, health: true, ready: true, drain: true, ask: true, view: true, watch: true },
      ...{ complete: true, limit: true },
    };
    await using app = await catga({ handlers: Double.handle((n) => n * 2) });
    const methods = app as unknown as Record<string, () => unknown>;
    /** Text of the error of a call, if it has one. Calls without arguments are mostly misuse. */
    const errorTextOf = async (call: () => unknown) => {
      try {
        const value = await call();
        if (String(value) === "[object AsyncGenerator]") await (value as AsyncGenerator).next();
      } catch (error) {
        return String(error);
      }
    };
    for (const name of Object.keys(names)) {
      const { [name]: taken } = methods;
      const expected = await errorTextOf(() => methods[name]());
      assertEquals([name, await errorTextOf(() => taken())], [name, expected]);
    }
  });

  it("of an app may be replaced, as test doubles do", async () => {
    await using app = await catga({ handlers: Double.handle((n) => n * 2) });
    const spied: unknown[] = [];
    const { send } = app;
    app.publish = (event, ..._) => {
      spied.push(event.name);
      return Promise.resolve({ ok: true, value: undefined });
    };
    Object.defineProperty(app, "send", {
      value: (...[contract, payload]: Parameters<typeof send>) => send(contract, payload).then((got) => [got.ok]),
    });
    await app.publish(event("Nobody"));
    const sent: unknown = await app.send(Double, 2);
    assertEquals([spied, sent], [["Nobody"], [true]]);
    assertEquals((await Promise.resolve(send(Double, 2))).value, 4);
  });

  it("of a context throw a TypeError that says how to call them", async () => {
    const said: string[] = [];
    const Ask = command("Ask");
    const ask = Ask.handle((_, { send, publish, lock, stream, start, cache: { get } }) => {
      for (const method of [send, publish, lock, stream, start, get] as (() => unknown)[]) {
        said.push(assertThrows(() => method(), TypeError).message);
      }
    });
    const { app } = localApp({ handlers: ask });
    assertEquals((await app.send(Ask)).error, undefined);
    const message = "a method of a handler's context was called without its object: write ctx.send(…) or " +
      "ctx.cache.get(…), not send(…) or get(…)";
    assertEquals(said, Array(6).fill(message));
  });
});

describe("what is printed of an app", () => {
  it("is one line: its id, service, status, and how much it handles and sees", async () => {
    const app = await catga({ id: "a-1", service: "shop", handlers: Double.handle((n) => n * 2) });
    assertEquals(inspect(app), "Catga { id: a-1, service: shop, status: ready, handles: 1, nodes: 1 }");
    await app.drain();
    assertEquals(inspect(app), "Catga { id: a-1, service: shop, status: stopped, handles: 1, nodes: 0 }");
  });
});
