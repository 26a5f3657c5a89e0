/**
 * Tests that every send ends by its deadline, whatever the program's code does: a table of the places where such code
 * runs, and of the ways in which it does not end.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Behavior, SendBehavior } from "../contract/declaration/behavior.ts";
import type { CatgaOptions } from "../catga.ts";
import type { Clock } from "../ports/clock.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { entity } from "../contract/declaration/entity.ts";
import type { Result } from "../contract/calls/result.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { eventually } from "../../test/support/eventually.ts";
import { localApp } from "../../test/support/local_app.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

/** The program's code that runs in the tested place. */
type Act = () => void | Promise<void>;

interface Schemas {
  readonly input?: Schema<unknown>;
  readonly output?: Schema<unknown>;
}

/** The parts of a program, of which one contains the program's code under test. */
interface Parts {
  /** Schemas of the contract, at the sender (`sender`) and at the handler (`receiver`). */
  readonly sender?: Schemas;
  readonly receiver?: Schemas;
  readonly behaviors?: readonly Behavior[];
  readonly sendBehaviors?: readonly Behavior[];
  readonly handle?: Act;
}

interface Place {
  readonly name: string;
  readonly parts: (act: Act) => Parts;
  /** True if the handler has run before the code in this place is called. */
  readonly ran: boolean;
  /**
   * Code of the result if the program's code throws in this place; `undefined`: the send rejects with the thrown error.
   */
  readonly thrown: string | undefined;
}

const INPUT = { thrown: "INVALID_MESSAGE", ran: false };
const OUTPUT = { thrown: "INVALID_RESPONSE", ran: true };
const AROUND = { thrown: "HANDLER_FAILED" };

const SENDER_PLACES: readonly Place[] = [
  { name: "the payload's schema", ...INPUT, parts: (act) => ({ sender: { input: schema(act) } }) },
  { name: "the answer's schema", ...OUTPUT, parts: (act) => ({ sender: { output: schema(act) } }) },
  {
    name: "a behavior around sends, before it sends",
    thrown: undefined,
    ran: false,
    parts: (act) => ({ sendBehaviors: [sending(async (_, next) => (await act(), await next()))] }),
  },
  {
    name: "a behavior around sends, when it has sent",
    thrown: undefined,
    ran: true,
    parts: (act) => ({
      sendBehaviors: [sending(async (_, next) => {
        const result = await next();
        await act();
        return result;
      })],
    }),
  },
];

const RECEIVER_PLACES: readonly Place[] = [
  {
    name: "a behavior around the handler, before it calls it",
    ...AROUND,
    ran: false,
    parts: (act) => ({ behaviors: [async (_, next) => (await act(), await next())] }),
  },
  {
    name: "a behavior around the handler, when it has called it",
    ...AROUND,
    ran: true,
    parts: (act) => ({
      behaviors: [async (_, next) => {
        const result = await next();
        await act();
        return result;
      }],
    }),
  },
  { name: "the handler", ...AROUND, ran: true, parts: (handle) => ({ handle }) },
];

const REMOTE_PLACES: readonly Place[] = [
  { name: "the payload's schema at the handler", ...INPUT, parts: (act) => ({ receiver: { input: schema(act) } }) },
  { name: "the answer's schema at the handler", ...OUTPUT, parts: (act) => ({ receiver: { output: schema(act) } }) },
  ...RECEIVER_PLACES,
];

/** When the program's code settles, the sender aborts, and the app drains, in ms; `Infinity`: never. */
const ENDS = [
  { name: "never settles", settles: Infinity, aborts: Infinity, drains: Infinity },
  { name: "settles after the deadline", settles: 2_000, aborts: Infinity, drains: Infinity },
  { name: "settles after the sender gave up", settles: 300, aborts: 100, drains: Infinity },
  { name: "never settles, and the sender gives up", settles: Infinity, aborts: 100, drains: Infinity },
  { name: "settles after the drain", settles: 3_000, aborts: Infinity, drains: 100 },
  { name: "never settles, and the app drains", settles: Infinity, aborts: Infinity, drains: 100 },
] as const;

const DEADLINE = 500;
/** Tolerance: two ticks of the deadline wheel, in ms. */
const TIMER = 20;

for (const kind of ["command", "query"] as const) {
  describe(`user code in one process: a ${kind}`, () => {
    for (const place of [...SENDER_PLACES, ...RECEIVER_PLACES]) {
      for (const end of ENDS) {
        it(`${place.name} ${end.name}: the send ends by its deadline`, async () => {
          const made = program(kind, place, acting(() => local.clock, end.settles));
          const { behaviors = [], sendBehaviors = [] } = made;
          const local = localApp({ handlers: made.here, behaviors: [...behaviors, ...sendBehaviors] });
          const { app, inside, clock } = local;
          const stop = new AbortController();
          const sent = timed(clock, app.send(made.sent, 1, { timeout: DEADLINE, signal: stop.signal }));
          clock.after(Math.min(end.aborts, 1e6), () => stop.abort());
          let drained: { at: number } = { at: 0 };
          clock.after(Math.min(end.drains, 1e6), () => drained = timed(clock, app.drain({ timeout: 100 })));
          await clock.advance(5_000);
          const wanted = expected(kind, place.ran, end);
          assertEquals([sent.code, sent.at <= wanted.at + TIMER], [wanted.code, true], `at ${sent.at}`);
          assertEquals(made.ran, place.ran ? 1 : 0);
          // a handler that has begun is part of `underWay` until it has ended
          if (end.settles < Infinity || !place.ran) assertEquals([inside.underWay.count, inside.wheel.size], [0, 0]);
          assert(drained.at <= 100 + 100 + 1_000, `drained at ${drained.at}`);
          await clock.until(app.drain({ timeout: 0 }));
          assertEquals(inside.wheel.size, 0);
        });
      }
      for (const how of ["throws", "rejects"] as const) {
        it(`${place.name} ${how}: the send says so at once`, async () => {
          const bug = new Error("bug");
          const made = program(kind, place, () => {
            if (how === "throws") throw bug;
            return Promise.reject(bug);
          });
          const { behaviors = [], sendBehaviors = [] } = made;
          const local = localApp({ handlers: made.here, behaviors: [...behaviors, ...sendBehaviors] });
          const sent = timed(local.clock, local.app.send(made.sent, 1));
          await local.clock.advance(0);
          if (place.thrown === undefined) assertEquals(sent.error, bug);
          else assertEquals(sent.code, place.thrown);
          assertEquals([local.inside.underWay.count, local.inside.wheel.size], [0, 0]);
        });
      }
    }
  });

  describe(`user code on two nodes: a ${kind}`, () => {
    for (const place of [...SENDER_PLACES, ...REMOTE_PLACES]) {
      for (const end of ENDS) {
        it(`${place.name} ${end.name}: the send ends by its deadline`, async () => {
          const cluster = new MemoryCluster();
          const { clock } = cluster;
          const made = program(kind, place, acting(() => clock, end.settles));
          const { behaviors = [], sendBehaviors = [] } = made;
          const shop = await cluster.start("shop", { handlers: made.there, behaviors });
          const client = await cluster.start("client", { handlers: [], behaviors: sendBehaviors, retries: 0 });
          const began = clock.monotonic();
          const stop = new AbortController();
          const sent = timed(clock, client.send(made.sent, 1, { timeout: DEADLINE, signal: stop.signal }));
          clock.after(Math.min(end.aborts, 1e6), () => stop.abort());
          let drained: { at: number } = { at: 0 };
          clock.after(Math.min(end.drains, 1e6), () => drained = timed(clock, client.drain({ timeout: 100 })));
          await clock.advance(5_000);
          const left = !SENDER_PLACES.includes(place);
          const wanted = expected(kind, place.ran || left, end);
          // after a request has been sent, the sender does not know whether it ran, unless it is told in time that it
          // did not
          const codes = [wanted.code, ...(left && !place.ran ? ["UNAVAILABLE"] : [])];
          assert(codes.includes(`${sent.code}`), `${sent.code} instead of ${codes}`);
          assert(sent.at - began <= wanted.at + TIMER, `settled at ${sent.at - began}`);
          assertEquals(made.ran, place.ran ? 1 : 0);
          assert(drained.at - began <= 100 + 100 + 1_000 + 500, `drained at ${drained.at - began}`);
          if (end.settles < Infinity || !place.ran) assertEquals(shop.health().inFlight, 0);
          if (end.drains === Infinity) assertEquals(client.health().inFlight, 0);
          await clock.until(Promise.all([client.drain({ timeout: 0 }), shop.drain({ timeout: 0 })]));
        });
      }
    }
  });
}

describe("user code before a handler that takes turns", () => {
  const OPTIONS = {
    concurrency: {},
    ordered: { ordered: true, key: () => "k" },
    idempotent: { idempotent: true },
  } as const;
  for (const option of ["concurrency", "ordered", "idempotent"] as const) {
    it(`a behavior that never settles gives its turn, and its claim, to the next (${option})`, async () => {
      const Turn = command<number, string>("Turn", {
        timeout: 500,
        ...OPTIONS[option],
      });
      let calls = 0;
      const late = Promise.withResolvers<void>();
      const ran: number[] = [];
      const behavior: Behavior = async (_, next) => {
        if (++calls === 1) await late.promise;
        return await next();
      };
      const { app, clock, inside } = localApp({
        handlers: Turn.handle((n) => `${ran.push(n)}`, { behaviors: [behavior], concurrency: 1 }),
      });
      const first = app.send(Turn, 1, { id: "same" });
      assertEquals((await clock.until(first, 520)).error?.code, "UNAVAILABLE");
      const id = option === "idempotent" ? "same" : "other";
      assertEquals((await clock.until(app.send(Turn, 1, { id }), 100)).value, "1");
      late.resolve();
      await clock.advance(100);
      // the message that was refused as "did not run" has not run since
      assertEquals([ran, inside.underWay.count], [[1], 0]);
    });
  }
});

describe("user code around events", () => {
  for (const where of ["the payload's schema", "a behavior around sends"] as const) {
    for (const settles of [Infinity, 60_000]) {
      it(`publish: ${where} that settles at ${settles} ms: it ends by the app's timeout, and is not heard`, async () => {
        const act = acting(() => local.clock, settles);
        const Told = event<unknown>("Told", where === "the payload's schema" ? { input: schema(act) } : {});
        let heard = 0;
        const behaviors = where === "the payload's schema"
          ? []
          : [sending(async (_, next) => (await act(), await next()))];
        const local = localApp({ handlers: Told.on(() => void heard++), behaviors, timeout: 500 });
        const { app, clock, inside } = local;
        const published = timed(clock, app.publish(Told, 1));
        const stop = new AbortController();
        const cancelled = timed(clock, app.publish(Told, 1, { signal: stop.signal }));
        clock.after(100, () => stop.abort());
        await clock.advance(70_000);
        assertEquals([published.code, cancelled.code], ["UNAVAILABLE", "CANCELLED"]);
        assert(published.at <= 520 && cancelled.at <= 100, `${published.at} ${cancelled.at}`);
        assertEquals([heard, inside.underWay.count, inside.wheel.size], [0, 0, 0]);
      });
    }
  }

  it("a schema that never settles at an event's handler: given up at the app's timeout, and no handler runs", async () => {
    let calls = 0;
    // the first call of the schema, at the publisher, returns; the second one, at the handler, never settles
    const Told = event<unknown>("Told", { input: schema(() => ++calls === 1 ? undefined : new Promise(() => {})) });
    let heard = 0;
    const { app, clock, inside } = localApp({ handlers: Told.on(() => void heard++), timeout: 500 });
    assertEquals((await app.publish(Told, 1)).ok, true);
    await clock.advance(100);
    assertEquals([calls, inside.underWay.count], [2, 1]);
    await clock.advance(1_000);
    assertEquals([heard, inside.underWay.count, inside.wheel.size], [0, 0, 0]);
  });

  it("broadcast: a schema that never settles ends by the timeout, and by the signal", async () => {
    const Ask = query<unknown, string>("Ask", { input: schema(() => new Promise(() => {})) });
    const { app, clock, inside } = localApp({ handlers: Ask.handle(() => "yes") });
    const stop = new AbortController();
    const late = app.broadcast(Ask, 1, { timeout: 500 });
    const cancelled = app.broadcast(Ask, 1, { signal: stop.signal });
    stop.abort();
    const all = await clock.until(Promise.all([late, cancelled]), 600);
    assertEquals(all.map((answers) => answers.map(({ result }) => result.error?.code)), [["UNAVAILABLE"], [
      "CANCELLED",
    ]]);
    assertEquals(inside.underWay.count, 0);
  });
});

describe("user code for clients that are no nodes", () => {
  for (const where of ["input", "output"] as const) {
    it(`a plain request whose ${where} schema never settles is answered by the contract's timeout, and a drain does not wait`, async () => {
      await using cluster = new MemoryCluster();
      const hangs = () => new Promise<void>(() => {});
      const Ask = command<unknown, unknown>("Ask", { timeout: 500, [where]: schema(hangs) });
      let runs = 0;
      const shop = await cluster.start("shop", { handlers: Ask.handle(() => `${++runs}`) });
      const client = cluster.network.connect();
      const answers: Record<string, string>[] = [];
      client.subscribe("answers", {}, ({ headers }) => answers.push({ ...headers }));
      client.publish("catga.default.call.Ask", "1", { reply: "answers" });
      await cluster.clock.advance(600);
      const code = where === "input" ? "UNAVAILABLE" : "OUTCOME_UNKNOWN";
      assertEquals(answers.map((headers) => headers["Catga-Error-Code"]), [code]);
      assertEquals([runs, shop.health().inFlight], [where === "input" ? 0 : 1, 0]);
    });
  }
});

describe("user code at the end of an app", () => {
  it("a leader's function that never ends: the drain ends within its timeout", async () => {
    const { app, clock } = localApp();
    app.lead("billing", () => new Promise(() => {}));
    await clock.advance(1_000);
    await clock.until(app.drain({ timeout: 200 }), 200 + 1_000);
  });
});

describe("a handler that sends until its deadline, and passes on the failure of its last send", () => {
  const Outer = command<void, string>("Outer", { timeout: 1_000 });
  const Inner = query<void, string>("Inner");
  const handlersOf = (clock: Clock, contract = Outer) => [
    contract.handle(async (_, ctx) => {
      for (;;) {
        const inner = await ctx.send(Inner);
        if (!inner.ok) return inner;
        await new Promise<void>((resolve) => clock.after(1, resolve));
      }
    }),
    Inner.handle(() => "inner"),
  ];

  it("is OUTCOME_UNKNOWN at its sender (UNAVAILABLE: as if it had not run), in this process", async () => {
    const clocks: Clock[] = [];
    const { app, clock } = localApp({
      handlers: handlersOf({ after: (...args) => clocks[0].after(...args) } as Clock),
    });
    clocks.push(clock);
    for (let i = 0; i < 10; i++) {
      assertEquals((await clock.until(app.send(Outer))).error?.code, "OUTCOME_UNKNOWN");
      await clock.advance(1);
    }
  });

  for (const idempotent of [false, true]) {
    const which = idempotent ? ", if it is idempotent" : "";
    it(`is OUTCOME_UNKNOWN at its sender (UNAVAILABLE: as if it had not run), in another process${which}`, async () => {
      await using cluster = new MemoryCluster();
      const contract = command<void, string>("Outer", { timeout: 1_000, idempotent });
      await cluster.start("a", { handlers: handlersOf(cluster.clock, contract) });
      await cluster.clock.advance(3);
      const sender = await cluster.start("b", { handlers: [] });
      for (let i = 0; i < 10; i++) {
        assertEquals((await cluster.clock.until(sender.send(contract))).error?.code, "OUTCOME_UNKNOWN");
        await cluster.clock.advance(1);
      }
    });
  }

  it("is OUTCOME_UNKNOWN at its sender, also if the handler is an entity's", async () => {
    const Till = entity("Till", { initial: () => 0 });
    const Count = command<string>("Count", { timeout: 1_000, key: (till) => till });
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const handler = Till.handle(Count, async (_, __, ctx) => {
      for (;;) {
        const inner = await ctx.send(Inner);
        if (!inner.ok) return inner;
        await new Promise<void>((resolve) => clock.after(1, resolve));
      }
    });
    const here = await cluster.start("a", { handlers: [handler, Inner.handle(() => "inner")] });
    await clock.advance(3);
    const elsewhere = await cluster.start("b", { handlers: [] });
    for (const sender of [here, elsewhere]) {
      assertEquals((await clock.until(sender.send(Count, "t-1"))).error?.code, "OUTCOME_UNKNOWN");
      await clock.advance(1);
    }
  });
});

describe("a behavior around sends that does not end after a broadcast", () => {
  it("leaves the answers as they are at the deadline", async () => {
    const Ask = query<unknown, string>("Ask");
    const behavior = sending(async (_, next) => (await next(), await new Promise<never>(() => {})));
    const { app, clock } = localApp({ handlers: Ask.handle(() => "yes"), behaviors: [behavior] });
    assertEquals(await clock.until(app.broadcast(Ask, 1, { timeout: 500 }), 520), [
      { node: "here", result: { ok: true, value: "yes" } },
    ]);
  });
});

describe("misuse by code that should be synchronous", () => {
  it("a key function that gives a promise is INVALID_MESSAGE, and what that rejects with is no crash", async () => {
    const Keyed = query<unknown, string>("Keyed", { key: (() => Promise.reject(new Error("bug"))) as never });
    const { app } = localApp({ handlers: Keyed.handle(() => "") });
    const { error } = await app.send(Keyed, 1, { timeout: 500 }); // with options, so that the key is made
    assertEquals(
      error?.message,
      "the key of Keyed cannot be made of this payload: it must be a string; got an instance of Promise",
    );
    await settled();
  });

  it("a strategy that gives a promise is a TypeError at once, and what that rejects with is no crash", async () => {
    await using cluster = await MemoryCluster.of();
    const Who = query<unknown, string>("Routed", { route: (() => Promise.reject(new Error("bug"))) as never });
    await cluster.start("a", { handlers: Who.handle(() => "") });
    const client = await cluster.start("client", { handlers: [] });
    let thrown: unknown;
    await cluster.clock.until(client.send(Who, 1).catch((error) => thrown = error));
    assert(String(thrown).includes("the strategy of Routed picked a node that is not one of its candidates"));
    await settled();
  });

  it("observers and loggers that are asynchronous and reject are logged, and crash nothing", async () => {
    const logged: string[] = [];
    const failing = () => Promise.reject(new Error("bug"));
    const behavior: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), {
      attach: () => ({ observe: failing, detach: failing }) as never,
    });
    const Fails = query<void, string>("Fails");
    const { catga } = await import("../catga.ts");
    const quiet = { debug() {}, info() {}, warn() {}, error: (message: string) => void logged.push(message) };
    const options: CatgaOptions = {
      id: "n",
      handlers: Fails.handle(() => {
        throw new Error("bug");
      }),
      behaviors: [behavior],
    };
    await using app = await catga({ ...options, logger: quiet });
    await app.send(Fails);
    await app.drain();
    await eventually("both to be logged", () => logged.length >= 3);
    assertEquals(logged.slice(1), [
      "catga n: telling a behavior what happened failed",
      "catga n: detaching a behavior failed",
    ]);
  });
});

describe("what handlers return", () => {
  it("a promise whose then calls back twice, or throws, ends its send once", async () => {
    const Odd = query<string, unknown>("Odd");
    const { app, clock, inside } = localApp({
      handlers: Odd.handle((how) => new OddPromise(how)),
      timeout: 500,
    });
    assertEquals(await app.send(Odd, "twice"), { ok: true, value: "first" });
    const thrown = timed(clock, app.send(Odd, "throws"));
    const never = timed(clock, app.send(Odd, "never"));
    await clock.advance(600);
    assertEquals([thrown.code, never.code], ["HANDLER_FAILED", "TIMEOUT"]);
    assertEquals(inside.underWay.count, 1); // one: the call of code that never ends
    await clock.until(app.drain({ timeout: 0 }));
  });

  it("a payload whose getter throws what cannot be read is INVALID_MESSAGE", async () => {
    await using cluster = await MemoryCluster.of();
    const Take = query<unknown, string>("Take");
    await cluster.start("a", { handlers: Take.handle(() => "") });
    const client = await cluster.start("client", { handlers: [] });
    const unreadable = {
      get name() {
        throw new Error("bug");
      },
    };
    const payload = {
      get text() {
        throw unreadable;
      },
    };
    const result = await cluster.clock.until(client.send(Take, payload));
    assertEquals(result.error?.code, "INVALID_MESSAGE");
  });
});

describe("sendAll", () => {
  const Half = query<number, number>("Half");

  function* endless(): Generator<number> {
    for (let n = 0;; n++) yield n;
  }

  it("endless payloads: read no further when the signal has aborted, and the event loop is given back meanwhile", async () => {
    const { catga } = await import("../catga.ts");
    await using app = await catga({ handlers: Half.handle((n) => n / 2) });
    const stop = new AbortController();
    let read = 0;
    function* counted() {
      for (const n of endless()) yield read = n;
    }
    // a timer, which fires only if the event loop is given back
    const timer = setInterval(() => read > 100 && stop.abort(), 1);
    const results = await app.sendAll(Half, counted(), { signal: stop.signal });
    clearInterval(timer);
    assertEquals(results.at(-1)?.error?.code, "CANCELLED");
    assert(results.length > 100);
  });

  it("endless payloads: read no further when the app has stopped", async () => {
    const { catga } = await import("../catga.ts");
    const app = await catga({ handlers: Half.handle((n) => n / 2) });
    const sent = app.sendAll(Half, endless());
    await app.drain();
    assertEquals((await sent).at(-1)?.error?.code, "CLOSED");
  });

  it("endless payloads: after the end one is read at most, whose result says why", async () => {
    const { catga } = await import("../catga.ts");
    await using app = await catga({ handlers: Half.handle((n) => n / 2) });
    const cancelled = await app.sendAll(Half, endless(), { signal: AbortSignal.abort() });
    assertEquals(cancelled.map(({ error }) => error?.code), ["CANCELLED"]);
    await app.drain();
    const closed = await app.sendAll(Half, endless());
    assertEquals(closed.map(({ error }) => error?.code), ["CLOSED"]);
  });

  it("rejects with the first error when the payloads' `return` throws too", async () => {
    const { catga } = await import("../catga.ts");
    await using app = await catga({ handlers: Half.handle((n) => n / 2) });
    const payloads = {
      [Symbol.iterator]: () => ({
        next(): IteratorResult<number> {
          throw new RangeError("of next");
        },
        return(): IteratorResult<number> {
          throw new TypeError("of return");
        },
      }),
    };
    await assertRejects(() => app.sendAll(Half, payloads), RangeError, "of next");
  });
});

/** A promise that breaks the rules of promises, in a way given by `how`. */
class OddPromise extends Promise<unknown> {
  readonly how: string;

  constructor(how: string) {
    super(() => {});
    this.how = how;
  }

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  override then<A, B>(fulfilled?: ((value: unknown) => A | PromiseLike<A>) | null): Promise<A | B> {
    if (this.how === "throws") throw new Error("bug");
    if (this.how === "twice") {
      fulfilled?.("first");
      fulfilled?.("second");
    }
    return new Promise(() => {});
  }
}

/** Makes a program with one contract, and with the code `act` in this place. */
function program(kind: "command" | "query", place: Place, act: Act) {
  const parts = place.parts(act);
  const make = kind === "command" ? command : query;
  const taken = make<unknown, unknown>("Do", { ...parts.receiver });
  const sent = make<unknown, unknown>("Do", { ...parts.sender });
  const made = { sent, ran: 0, ...parts };
  const handle = async () => {
    made.ran++;
    await parts.handle?.();
    return "done";
  };
  return Object.assign(made, { here: sent.handle(handle), there: taken.handle(handle) });
}

/** Returns code that settles after `ms` milliseconds. */
function acting(clock: () => Clock, ms: number): Act {
  return () => new Promise((resolve) => ms < Infinity && clock().after(ms, resolve));
}

function schema(act: Act): Schema<unknown> {
  const validate = (value: unknown) => {
    const acted = act();
    return acted === undefined ? { value } : acted.then(() => ({ value }));
  };
  return { "~standard": { version: 1, vendor: "test", validate } };
}

function sending(send: SendBehavior): Behavior {
  return Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { send });
}

/** How a promise settled, and when, in ms of the clock. */
interface Timed {
  at: number;
  code: string | undefined;
  error: unknown;
}

function timed(clock: Clock, promise: Promise<unknown>): Timed {
  const seen: Timed = { at: Infinity, code: "pending", error: undefined };
  promise.then((value) => {
    const result = value as Result<unknown> | undefined;
    Object.assign(seen, { at: clock.monotonic(), code: result?.error?.code, error: result?.error });
  }, (error) => Object.assign(seen, { at: clock.monotonic(), code: "rejected", error }));
  return seen;
}

/**
 * Returns the code that the sender should get, and the latest time for it. `ran`: true if the handler has run, or may
 * have.
 */
function expected(kind: string, ran: boolean, { aborts, drains }: typeof ENDS[number]): { code: string; at: number } {
  if (aborts < Infinity) return { code: "CANCELLED", at: aborts };
  const drained = drains < Infinity;
  const unknown = kind === "command" ? "OUTCOME_UNKNOWN" : drained ? "CLOSED" : "TIMEOUT";
  return { code: ran ? unknown : drained ? "CLOSED" : "UNAVAILABLE", at: drained ? drains + 100 : DEADLINE };
}

/** Waits until an unhandled rejection would have been reported. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
