import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Behavior } from "../contract/declaration/behavior.ts";
import type { Context } from "../contract/calls/context.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import type { Strategy } from "../contract/nodes/node_info.ts";
import { fail, unwrap } from "../contract/calls/result.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { catga } from "../catga.ts";
import { Mediator } from "../dispatch/mediator.ts";
import type { Refusal } from "../dispatch/outcome.ts";
import { collect } from "../dispatch/registry.ts";
import { localApp } from "../../test/support/local_app.ts";
import { counting } from "../../test/support/schemas.ts";
import { systemClock } from "../ports/clock.ts";
import { fastPaths } from "./local_fast_path.ts";
import { RequestBuilder } from "./request_builder.ts";

const INVALID = "INVALID_MESSAGE";

describe("the local fast path", () => {
  const contracts = [
    query("Plain").handle(() => {}),
    query("Keyed", { route: "hash", key: () => "k" }).handle(() => {}),
    query("NeedsKey", { route: "hash" } as never).handle(() => {}),
    query("Checked", { input: counting((n) => n) }).handle(() => {}),
    command("Ordered", { ordered: true, key: () => "k" }).handle(() => {}),
    command("Once", { idempotent: true }).handle(() => {}),
    query("Chosen", { route: ([node]) => node }).handle(() => {}),
    event("Happened").on(() => {}),
  ];

  /** Returns the contracts for which a node has a fast path. `shared`: a contract that another node handles, too. */
  function names(shared?: string): string[] {
    const { inside } = localApp({ handlers: contracts });
    const tools = { clock: systemClock, random: () => 0, logger: undefined };
    const mediator = new Mediator(collect(contracts), [], () => {}, tools);
    const builder = new RequestBuilder(inside, { timeout: 1_000, retries: 0, route: "round-robin" });
    const alone = new Set(mediator.served.filter((name) => name !== shared));
    const refused = (_: unknown, __: unknown, { failure }: Refusal) => failure;
    return [...fastPaths(inside, { mediator, builder, alone, refused }).keys()].map(({ name }) => name);
  }

  it("is there for contracts that need no preparation, and for no others", () => {
    assertEquals(names(), ["Keyed", "Plain"]);
  });

  it("is not there for a contract that another node handles, too", () => {
    assertEquals(names("Plain"), ["Keyed"]);
  });

  it("calls the contract's key: one that throws, or gives no text, fails the send (the handler ran while it was alone)", async () => {
    const keys: readonly ((payload: string) => unknown)[] = [
      (key) => key,
      () => {
        throw new Error("no key");
      },
      () => 7,
    ];
    for (const [n, key] of keys.entries()) {
      const ran: string[] = [];
      const Keyed = command<string, void>(`Keyed${n}`, { key: key as () => string });
      await using app = await catga({ handlers: Keyed.handle((payload) => void ran.push(payload)) });
      const codes = [(await app.send(Keyed, "a")).error?.code, (await app.send(Keyed, "b", {})).error?.code];
      const wanted = n === 0
        ? { codes: [undefined, undefined], ran: ["a", "b"] }
        : { codes: [INVALID, INVALID], ran: [] };
      assertEquals({ codes, ran }, wanted);
    }
  });

  it("ends when another node joins with a handler: sends are routed from then on", async () => {
    const Where = query<void, string>("Where");
    const handlers = Where.handle((_, { node }) => node);
    const network = new MemoryNetwork();
    await using a = await catga({ network, id: "a", handlers });
    assertEquals(unwrap(await a.send(Where)), "a");
    await using _b = await catga({ network, id: "b", handlers });
    const nodes = [unwrap(await a.send(Where)), unwrap(await a.send(Where))];
    assertEquals(nodes.sort(), ["a", "b"]);
  });
});

describe("a send to an asynchronous handler by the local fast path", () => {
  /** Makes an app whose handlers end when the test resolves their promise. */
  function held() {
    const Held = query<number, string>("Held", { timeout: 1_000 });
    const running = new Map<number, PromiseWithResolvers<string>>();
    const contexts = new Map<number, Context>();
    const local = localApp({
      handlers: Held.handle((n, ctx) => {
        running.set(n, Promise.withResolvers());
        contexts.set(n, ctx);
        return running.get(n)!.promise;
      }),
    });
    return { ...local, Held, running, contexts };
  }

  it("has its own result, in whatever order handlers end, and however many run", async () => {
    const { app, Held, running } = held();
    for (let round = 0; round < 3; round++) {
      const sent = Array.from({ length: 600 }, (_, n) => app.send(Held, n));
      assertEquals(app.health().inFlight, 600);
      for (let n = 0; n < 600; n++) {
        const at = n * 7 % 600;
        if (at % 5 === 0) running.get(at)!.reject(new Error(`no ${at}`));
        else running.get(at)!.resolve(`yes ${at}`);
      }
      const results = await Promise.all(sent);
      assertEquals(results.filter(({ ok, value }, n) => ok ? value !== `yes ${n}` : n % 5 !== 0), []);
      assertEquals(app.health().inFlight, 0);
    }
  });

  it("ends at its deadline; a handler that ends later, and a context that is used then, change no other send", async () => {
    const { app, clock, Held, running, contexts } = held();
    const first = app.send(Held, 1);
    await clock.advance(1_020);
    assertEquals((await first).error?.code, "TIMEOUT");
    const second = app.send(Held, 2);
    running.get(1)!.resolve("late");
    await clock.advance(0);
    const third = app.send(Held, 3); // reuses the object of the first send
    assertEquals(contexts.get(1)!.signal.aborted, true);
    await clock.advance(500);
    running.get(3)!.resolve("third");
    running.get(2)!.resolve("second");
    assertEquals([unwrap(await second), unwrap(await third)], ["second", "third"]);
    const fourth = app.send(Held, 4);
    assertEquals([contexts.get(2)!.signal.aborted, contexts.get(4)!.signal.aborted], [false, false]);
    await clock.advance(1_020);
    assertEquals([(await fourth).error?.code, contexts.get(2)!.signal.aborted], ["TIMEOUT", false]);
  });

  it("ends once, also if the promise of its handler has a `then` that calls back twice", async () => {
    const Twice = query<void, string>("Twice");
    const { app } = localApp({
      handlers: Twice.handle(() => {
        const promise = Promise.resolve("own");
        promise.then = ((ended: (value: string) => void) => (ended("a"), ended("b"))) as never;
        return promise;
      }),
    });
    const sent = [app.send(Twice), app.send(Twice), app.send(Twice)];
    assertEquals((await Promise.all(sent)).map(({ value }) => value), ["own", "own", "own"]);
    assertEquals(app.health().inFlight, 0);
  });

  it("ends with the app, also if many have just begun", async () => {
    const { app, clock, Held } = held();
    const sent = Array.from({ length: 200 }, (_, n) => app.send(Held, n));
    const drained = app.drain({ timeout: 100 });
    await clock.advance(10_000);
    await drained;
    const codes = new Set((await Promise.all(sent)).map(({ error }) => error?.code));
    assertEquals([...codes], ["CLOSED"]);
  });
});

describe("a send to a handler with behaviors by the local fast path", () => {
  const Count = query<number, number>("Count");
  const handlers = [(n: number) => n, (n: number) => Promise.resolve(n)].map((handler) => Count.handle(handler));

  /**
   * Returns the results of sends through this behavior: to a handler that returns at once, and to an asynchronous one.
   */
  async function through(behavior: Behavior): Promise<unknown[]> {
    const given: unknown[] = [];
    for (const handler of handlers) {
      const { app, clock } = localApp({ handlers: handler, behaviors: [behavior, behavior] });
      const sent = [app.send(Count, 1), app.send(Count, 2)];
      await clock.advance(0);
      for (const result of await Promise.all(sent)) given.push(result.ok ? result.value : result.error.code);
      assertEquals(app.health().inFlight, 0);
    }
    return given;
  }

  it("has the result of the handler, whether a behavior waits for it or returns what next() gave", async () => {
    assertEquals(await through((_, next) => next()), [1, 2, 1, 2]);
    assertEquals(await through(async (_, next) => await next()), [1, 2, 1, 2]);
    assertEquals(await through((_, next) => next().then((result) => result)), [1, 2, 1, 2]);
  });

  it("has what the behavior returned: of the first of two calls, made of a result, or its own", async () => {
    const calls = new Map<unknown, number>();
    const twice: Behavior = (message, next) => {
      const first = next();
      calls.set(message.ctx, (calls.get(message.ctx) ?? 0) + 1);
      next();
      return first;
    };
    assertEquals(await through(twice), [1, 2, 1, 2]);
    const doubled: Behavior = async (_, next) => {
      const result = await next();
      return result.ok ? { ok: true, value: 2 * (result.value as number) } : result;
    };
    assertEquals(await through(doubled), [4, 8, 4, 8]);
    assertEquals(await through(() => fail("FORBIDDEN", "no")), ["FORBIDDEN", "FORBIDDEN", "FORBIDDEN", "FORBIDDEN"]);
    const broken: Behavior = (_, next) => {
      void next();
      throw new Error("broken");
    };
    assertEquals(new Set(await through(broken)), new Set(["HANDLER_FAILED"]));
  });

  it("is aborted before its handler begins while a behavior waits, and at its deadline while the handler runs", async () => {
    let ran = 0;
    let release = () => {};
    const gate = new Promise<void>((resolve) => release = resolve);
    const Slow = command<void, void>("Slow", { timeout: 100 });
    const handler = Slow.handle((_, ctx) => {
      ran++;
      return new Promise((resolve) => ctx.clock.after(1_000, () => resolve()));
    });
    const code = async (behavior: Behavior) => {
      const { app, clock } = localApp({ handlers: handler, behaviors: [behavior] });
      const sent = app.send(Slow);
      await clock.advance(120);
      return (await sent).error?.code;
    };
    assertEquals([await code((_, next) => gate.then(next)), ran], ["UNAVAILABLE", 0]);
    release();
    await gate;
    assertEquals(ran, 0);
    assertEquals([await code((_, next) => next()), ran], ["OUTCOME_UNKNOWN", 1]);
    assertEquals([await code(async (_, next) => await next()), ran], ["OUTCOME_UNKNOWN", 2]);
  });
});

describe("a send with options, of a contract that this node alone handles", () => {
  const Where = query<void, string>("Where");
  const options = { timeout: 5_000 };

  it("is a handler that runs, and no send that waits for a node; it is routed when another node has a handler", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const handlers = Where.handle(async (_, { node }) => {
      await promise;
      return node;
    });
    const network = new MemoryNetwork();
    await using a = await catga({ network, id: "a", handlers });
    const sent = a.send(Where, undefined, options);
    assertEquals(a.health().inFlight, 1);
    resolve();
    assertEquals(unwrap(await sent), "a");
    await using _b = await catga({ network, id: "b", handlers });
    const nodes = [unwrap(await a.send(Where, undefined, options)), unwrap(await a.send(Where, undefined, options))];
    assertEquals(nodes.sort(), ["a", "b"]);
  });

  it("is routed all the same by a strategy of the user's, which may choose no node", async () => {
    const seen: (readonly string[])[] = [];
    const none: Strategy = (nodes) => void seen.push(nodes.map(({ id }) => id));
    const handlers = Where.handle((_, { node }) => node);
    await using a = await catga({ network: new MemoryNetwork(), id: "a", handlers });
    const { error } = await a.send(Where, undefined, { route: none });
    assertEquals([error?.code, seen[0]], ["NO_HANDLER", ["a"]]);
  });
});
