/** Handlers that take turns: `concurrency` of their own, and `ordered` contracts. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Catga } from "../contract/running_node.ts";
import { catga } from "../catga.ts";
import { command, event, query } from "../contract/definition.ts";
import type { Handlers } from "../contract/handler.ts";
import { MessageContext } from "./message_context.ts";
import { CatgaError } from "../error.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { Result } from "../contract/result.ts";
import type { Schema } from "../contract/schema.ts";
import { TurnBudget } from "./turn_budget.ts";
import { localApp } from "../../test/support/local_app.ts";
import { openStage } from "../../test/support/stage.ts";
import { Refusal } from "./outcome.ts";
import { HandlerAdmission } from "./concurrency.ts";

interface Job {
  readonly key: string;
  readonly n: number;
}

const Do = command<Job, string>("Do");
const Ordered = command<Job, string>("Ordered", { ordered: true, key: ({ key }) => key });
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;
const job = (text: string): Job => ({ key: text[0], n: Number(text.slice(1)) });
const text = ({ key, n }: Job): string => `${key}${n}`;

/** A handler that notes what begins, and ends when the test says so. */
class Bench {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  readonly handle = (job: Job): Promise<string> => {
    this.begun.push(text(job));
    return new Promise((resolve) => this.#ends.set(text(job), () => resolve(`done ${text(job)}`)));
  };

  end(...jobs: string[]): void {
    for (const job of jobs) this.#ends.get(job)!();
  }
}

/** One node that handles, and one that sends. */
async function pair(
  handlers: Handlers,
): Promise<{ clock: VirtualClock; server: Catga; client: Catga } & AsyncDisposable> {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const server = await clock.until(catga({ network, id: "server", handlers, logger }));
  const client = await clock.until(catga({ network, id: "client", logger }));
  const end = () => clock.until(Promise.all([client.drain({ timeout: 0 }), server.drain({ timeout: 0 })]));
  return { clock, server, client, [Symbol.asyncDispose]: async () => void await end() };
}

describe("a handler's concurrency", () => {
  it("counts whoever sends, in order of arrival: this process, others, a mixture", async () => {
    const bench = new Bench();
    await using stage = await pair(Do.handle(bench.handle, { concurrency: 2 }));
    const { clock, server, client } = stage;
    const sent: Promise<Result<string>>[] = [];
    for (const [app, what] of [[server, "a1"], [client, "b2"], [server, "a3"], [client, "b4"]] as const) {
      sent.push(app.send(Do, job(what)));
      await clock.advance(0);
    }
    assertEquals(bench.begun, ["a1", "b2"]);
    bench.end("b2");
    await clock.advance(0);
    assertEquals(bench.begun, ["a1", "b2", "a3"]);
    bench.end("a1");
    await clock.advance(0);
    bench.end("a3", "b4");
    assertEquals((await clock.until(Promise.all(sent))).map(code), ["done a1", "done b2", "done a3", "done b4"]);
  });

  it("is of events too", async () => {
    const Noted = event<Job>("Noted");
    const bench = new Bench();
    const { app, clock } = localApp({ handlers: Noted.on(bench.handle, { concurrency: 1 }) });
    for (const what of ["a1", "b2"]) await app.publish(Noted, job(what));
    await clock.advance(0);
    assertEquals(bench.begun, ["a1"]);
    bench.end("a1");
    await clock.advance(0);
    assertEquals(bench.begun, ["a1", "b2"]);
    bench.end("b2");
    await clock.until(app.drain());
  });

  it("one that waits is cancelled, or its time passes: it never runs, and its sender is told so", async () => {
    const bench = new Bench();
    for (const far of [false, true]) {
      await using stage = await pair(Do.handle(bench.handle, { concurrency: 1 }));
      const { clock, server, client } = stage;
      const app = far ? client : server;
      const stop = new AbortController();
      bench.begun.length = 0;
      const sent = [
        app.send(Do, job("a1")),
        app.send(Do, job("a2"), { signal: stop.signal }),
        app.send(Do, job("a3"), { timeout: 1_099, retries: 0 }),
        app.send(Do, job("a4")),
      ];
      await clock.advance(10);
      stop.abort();
      await clock.advance(1_200);
      assertEquals((await Promise.all(sent.slice(1, 3))).map(code), ["CANCELLED", "UNAVAILABLE"]);
      bench.end("a1");
      await clock.advance(0);
      assertEquals(bench.begun, ["a1", "a4"]);
      bench.end("a4");
      assertEquals(code(await clock.until(sent[3])), "done a4");
      assertEquals(server.self.load, { inFlight: 0, queued: 0 });
    }
  });

  it("those that wait take no place from other contracts (1,024 of them shut the node)", async () => {
    const Other = query<number, number>("Other");
    const bench = new Bench();
    await using stage = await pair([Do.handle(bench.handle, { concurrency: 1 }), Other.handle((n) => n)]);
    const { clock, server, client } = stage;
    for (let n = 0; n < 3_000; n++) client.send(Do, { key: "a", n });
    await clock.advance(0);
    assertEquals(server.self.load.queued, 2_999);
    assertEquals(code(await clock.until(client.send(Other, 7, { timeout: 1_000 }), 0)), 7);
  });
});

describe("a message that has had no turn", () => {
  it("is a plain failure wherever user code sees it", async () => {
    const bench = new Bench();
    const { app, clock } = localApp({ handlers: Do.handle(bench.handle, { concurrency: 1 }), timeout: 100 });
    const first = app.send(Do, job("a1"), { timeout: 60_000 });
    for (let n = 0; n < 10; n++) app.send(Do, job("a2"), { timeout: 60_000 });
    await clock.advance(10_000);
    // nobody has ended for ten seconds, so that eleven turns are not to be had in one
    const sent = [
      app.send(Do, job("a3"), { timeout: 1_000 }),
      app.send(Do, job("a4")),
      app.broadcast(Do, job("a5"), { timeout: 1_000 }).then(([{ result }]) => result),
      app.sendAll(Do, [job("a6")]).then(([result]) => result),
    ];
    for (const result of await clock.until(Promise.all(sent), 0)) {
      assertEquals([result.ok, Object.keys(result).sort(), result.error?.code, result.error?.retryable], [
        ...[false, ["error", "ok"], "OVERLOADED", true],
      ]);
      assert(!((result as unknown) instanceof Refusal) && Object.getPrototypeOf(result) === Object.prototype);
    }
    bench.end("a1");
    await clock.until(first);
    await clock.until(app.drain({ timeout: 0 }));
  });

  it("handed on by a handler that ran is that handler's answer: it does not run again (its command ran twice)", async () => {
    const Outer = command<void, string>("Outer");
    const bench = new Bench();
    let ran = 0;
    const handlers = [
      Do.handle(bench.handle, { concurrency: 1 }),
      Outer.handle(async (_, ctx) => {
        ran++;
        return await ctx.send(Do, job("a9"), { timeout: 1_000 }) as unknown as string;
      }),
    ];
    await using stage = await openStage({ handlers });
    const { app, clock, other } = stage;
    for (let n = 0; n < 10; n++) app.send(Do, job(`a${n}`), { timeout: 60_000 });
    await clock.advance(10_000);
    other.send(app.self.endpoint, ["q", "Outer", 9_000]);
    await clock.advance(2_000);
    const [[kind, , , error]] = other.items("r", "e", "n") as [string, number, number, { code: string }][];
    assertEquals([kind, error.code, ran], ["e", "OVERLOADED", 1]);
    await clock.until(app.drain({ timeout: 0 }));
  });

  it("travels as a refusal, so that it moves to another node", async () => {
    const bench = new Bench();
    await using stage = await openStage({ handlers: Do.handle(bench.handle, { concurrency: 1 }) });
    const { app, clock, other } = stage;
    for (let n = 0; n < 11; n++) other.send(app.self.endpoint, ["q", "Do", 60_000, job(`a${n}`)]);
    await clock.advance(10_000);
    const seq = other.send(app.self.endpoint, ["q", "Do", 1_000, job("b1")], ["q", "Do", 200_000, job("b2")]);
    await stage.settle();
    assertEquals(other.items("n", "e"), [["n", seq, 0, "OVERLOADED"]]);
    await clock.until(app.drain({ timeout: 0 }));
  });
});

describe("an ordered contract", () => {
  it("one at a time for a key, in order of arrival, other keys beside it; here and from afar", async () => {
    for (const far of [false, true]) {
      const bench = new Bench();
      await using stage = await pair(Ordered.handle(bench.handle));
      const { clock, server, client } = stage;
      const sent = (far ? client : server).sendAll(Ordered, ["a1", "a2", "b1", "a3", "b2"].map(job));
      await clock.advance(0);
      assertEquals(bench.begun, ["a1", "b1"]);
      bench.end("b1");
      await clock.advance(0);
      bench.end("a1");
      await clock.advance(0);
      assertEquals(bench.begun, ["a1", "b1", "b2", "a2"]);
      bench.end("a2", "b2");
      await clock.advance(0);
      bench.end("a3");
      assertEquals((await clock.until(sent)).map(code), ["a1", "a2", "b1", "a3", "b2"].map((it) => `done ${it}`));
    }
  });

  it("a key in the options of a send counts before that of the payload, over the wire too", async () => {
    const bench = new Bench();
    await using stage = await pair(Ordered.handle(bench.handle));
    const { clock, client } = stage;
    const sent = [client.send(Ordered, job("a1"), { key: "x" }), client.send(Ordered, job("a2"))];
    sent.push(client.send(Ordered, job("b3"), { key: "x" }));
    await clock.advance(0);
    assertEquals(bench.begun, ["a1", "a2"]);
    bench.end("a1");
    await clock.advance(0);
    bench.end("a2", "b3");
    assertEquals((await clock.until(Promise.all(sent))).map(code), ["done a1", "done a2", "done b3"]);
  });

  it("with a schema that transforms: the key is made of what was sent, by every node alike", async () => {
    const keys: unknown[] = [];
    const input: Schema<{ id: string }, { id: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) => ({ value: { id: Number((value as { id: string }).id) } }),
      },
    };
    const Typed = command("Typed", {
      input,
      ordered: true,
      key: (payload) => {
        keys.push(payload);
        return payload.id;
      },
    });
    const seen: unknown[] = [];
    await using stage = await pair(Typed.handle((payload) => void seen.push(payload)));
    for (const app of [stage.client, stage.server]) await stage.clock.until(app.send(Typed, { id: "7" }));
    assertEquals(seen, [{ id: 7 }, { id: 7 }]);
    assertEquals(keys, new Array(keys.length).fill({ id: "7" }));
  });

  it("a key function that throws, or gives no string, for a hostile payload: INVALID_MESSAGE, and nothing else", async () => {
    let ran = 0;
    await using stage = await openStage({ handlers: Ordered.handle(() => `${++ran}`) });
    const { other, app } = stage;
    other.send(app.self.endpoint, ["q", "Ordered", 9_000, null, {}, { key: 7 }, { key: "a" }]);
    await stage.settle();
    const seen = other.items("e", "r").map(([kind, , index, what]) => [
      ...[kind, index, kind === "e" ? (what as { code: string }).code : what],
    ]);
    assertEquals(seen, [["e", 0, "INVALID_MESSAGE"], ["e", 1, "INVALID_MESSAGE"], ["e", 2, "INVALID_MESSAGE"], [
      ...["r", 3, "1"],
    ]]);
  });

  it("needs a key, and no other route", async () => {
    const Keyless = command<number, void>("Keyless", { ordered: true });
    const { app, clock } = localApp({ handlers: Keyless.handle(() => {}) });
    const message = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    assert(message(() => app.send(Keyless, 1)).includes("needs a key"));
    assert(message(() => app.send(Keyless, 1, { key: "a", route: "random" })).includes('has the route "hash"'));
    assertEquals((await app.send(Keyless, 1, { key: "a" })).ok, true);
    await clock.until(app.drain());
  });

  it("keeps nothing of a key that nobody runs or waits for", async () => {
    const { inside, clock } = localApp();
    const turns = new HandlerAdmission(clock, new TurnBudget(clock), { concurrency: 2, ordered: true });
    const ends: (() => void)[] = [];
    const take = (key: string): MessageContext => {
      const ctx = new MessageContext(inside, Ordered, 1_000, undefined);
      ctx.course.key = key;
      const done = turns.take(ctx, () => new Promise((resolve) => ends.push(() => resolve({ ok: true, value: 1 }))));
      if (done instanceof Promise) ctx.run(done, () => {});
      return ctx;
    };
    const [, , cancelled] = ["a", "b", "b", "c", "d"].map(take);
    assertEquals(turns.keys, 4);
    cancelled.abort(new CatgaError("CANCELLED", "enough"));
    ends[0]();
    await clock.advance(0);
    assertEquals(turns.keys, 3);
    await clock.advance(2_000); // the time of d is over before its turn
    for (let i = 1; i < ends.length; i++) {
      ends[i]();
      await clock.advance(0);
    }
    assertEquals([turns.keys, ends.length], [0, 3]);
  });

  it("its messages wait for the handler's concurrency as well, and drop out of either line", async () => {
    const bench = new Bench();
    await using stage = await pair(Ordered.handle(bench.handle, { concurrency: 1 }));
    const { clock, server, client } = stage;
    const stop = new AbortController();
    const sent = [
      client.send(Ordered, job("a1")),
      client.send(Ordered, job("b1"), { signal: stop.signal }), // waits for the handler
      client.send(Ordered, job("b2")), // waits for its key
      client.send(Ordered, job("c1")),
    ];
    await clock.advance(0);
    stop.abort();
    await clock.advance(0);
    bench.end("a1");
    await clock.advance(0);
    assertEquals(bench.begun, ["a1", "c1"]); // b2 came to the handler's line when b1 left its key
    bench.end("c1");
    await clock.advance(0);
    bench.end("b2");
    assertEquals((await clock.until(Promise.all(sent))).map(code), ["done a1", "CANCELLED", "done b2", "done c1"]);
    assertEquals(server.self.load, { inFlight: 0, queued: 0 });
  });
});
