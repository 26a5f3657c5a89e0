/**
 * Tests that handlers run in the async context (`AsyncLocalStorage`) of their own sender, or in none; never in that of
 * another sender.
 */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Catga,
  catga,
  CatgaError,
  command,
  entity,
  event,
  fail,
  query,
  stream,
  unwrap,
  workflow,
} from "@catga/catga";
import { retry } from "@catga/catga/behaviors";
import { MemoryNetwork, testCluster } from "@catga/catga/testing";
import { eventually } from "../../test/support/eventually.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const PEOPLE = ["ann", "bob", "cat", "dan", "eve"];
const user = new AsyncLocalStorage<string>();

/** Records, for each call of a handler, the sender, and the sender whose async context the handler ran in. */
class Seen {
  readonly all: (readonly [who: string, as: string | undefined])[] = [];

  note(who: string): void {
    this.all.push([who, user.getStore()]);
  }

  /** Calls `act` once in the async context of each person, and waits for all calls. */
  async as(act: (who: string) => Promise<unknown>): Promise<void> {
    await Promise.all(PEOPLE.map((who) => user.run(who, () => act(who))));
  }

  /** Asserts that each call ran in its own sender's context, `times` times for each person. */
  own(times = 1): void {
    const expected = PEOPLE.flatMap((who) => Array.from({ length: times }, () => [who, who] as const));
    assertEquals([...this.all].sort(), expected);
  }

  /** Asserts that each call ran in no sender's context, `times` times for each person. */
  none(times = 1): void {
    const expected = PEOPLE.flatMap((who) => Array.from({ length: times }, () => [who, undefined] as const));
    assertEquals([...this.all].sort(), expected);
  }
}

const turn = () => new Promise<void>((resolve) => setTimeout(resolve));

describe("the async context of a handler that waited for its turn", () => {
  it("is its own sender's: ordered, and concurrency (it was that of the message before it)", async () => {
    const Ordered = command<string>("Ordered", { ordered: true, key: () => "k" });
    const Limited = command<string>("Limited");
    const seen = new Seen();
    const handle = async (who: string) => {
      seen.note(who);
      await turn();
      seen.note(who);
    };
    await using app = await catga({ handlers: [Ordered.handle(handle), Limited.handle(handle, { concurrency: 2 })] });
    await seen.as(async (who) => {
      unwrap(await app.send(Ordered, who));
      unwrap(await app.send(Limited, who));
    });
    seen.own(4);
  });

  it("is its own sender's: commands of one entity, handlers that return at once and later", async () => {
    const Cart = entity("Cart", { initial: () => ({ n: 0 }) });
    const Added = Cart.event("Added", ({ n }) => ({ n: n + 1 }));
    const Add = command<{ id: string; who: string }>("Add", { key: ({ id }) => id });
    const Later = command<{ id: string; who: string }>("Later", { key: ({ id }) => id });
    const seen = new Seen();
    const handlers = [
      Cart.handle(Add, (cart, { who }) => {
        seen.note(who);
        cart.emit(Added);
      }),
      Cart.handle(Later, async (cart, { who }) => {
        await turn();
        seen.note(who);
        cart.emit(Added);
      }),
    ];
    await using app = await catga({ handlers });
    for (let n = 0; n < 2; n++) {
      await seen.as(async (who) => {
        const all = [Add, Later, Add].map((contract) => app.send(contract, { id: "1", who }));
        for (const result of await Promise.all(all)) unwrap(result);
      });
    }
    assertEquals((await app.load(Cart, "1")).state.n, 6 * PEOPLE.length);
    seen.own(6);
  });

  it("is its own sender's when a command of an entity is decided again after a conflict", async () => {
    const Cart = entity("Cart", { initial: () => ({ n: 0 }) });
    const Added = Cart.event("Added", ({ n }) => ({ n: n + 1 }));
    // not by key
    const Add = command<{ id: string; who: string }>("Add", { key: ({ id }) => id, route: "local-first" });
    const seen: (readonly [string, string | undefined])[] = [];
    const handlers = Cart.handle(Add, (cart, { who }) => {
      seen.push([who, user.getStore()]);
      cart.emit(Added);
    });
    const network = new MemoryNetwork();
    await using a = await catga({ handlers, network, id: "a", logger: quiet });
    await using b = await catga({ handlers, network, id: "b", logger: quiet });
    for (let n = 0; n < 20; n++) {
      const add = (app: Catga, who: string) => user.run(who, () => app.send(Add, { id: "1", who }));
      for (const result of await Promise.all([add(a, "ann"), add(b, "bob"), add(a, "cat")])) unwrap(result);
    }
    assertEquals((await a.load(Cart, "1")).state.n, 60);
    assertEquals(seen.length > 60, true, "there was no conflict");
    assertEquals(seen.filter(([who, as]) => who !== as), []);
  });

  it("makes no false DEADLOCK of cache.getOrSet: a caller that waits behind a load is not within it", async () => {
    const Upstream = query<string, string>("Upstream");
    const began = Promise.withResolvers<void>();
    const upstream = Upstream.handle(async (who, ctx) => {
      began.resolve();
      await turn();
      return who === "lister" ? await ctx.cache.getOrSet("catalogue", () => "by the lister") : `for the ${who}`;
    }, { concurrency: 1 });
    await using app = await catga({ handlers: upstream });
    const listed = Promise.withResolvers<void>();
    const loaded = app.cache.getOrSet("catalogue", async () => {
      const value = unwrap(await app.send(Upstream, "loader"));
      await listed.promise;
      return value;
    });
    await began.promise;
    const lister = app.send(Upstream, "lister");
    for (let n = 0; n < 5; n++) await turn(); // until the handler runs, and waits for the load
    listed.resolve();
    assertEquals(unwrap(await lister), "for the loader");
    assertEquals(await loaded, "for the loader");
  });
});

describe("the async context of a handler in its sender's turn", () => {
  it("is its sender's: events, retries of a behavior, streams and their end, a load of the cache, a lock, a lead", async () => {
    const Told = event<string>("Told");
    const Flaky = query<string>("Flaky");
    const Numbers = stream<string, number>("Numbers");
    const Locked = command<string>("Locked");
    const seen = new Seen();
    const tries = new Map<string, number>();
    const handlers = [
      Told.on((who) => seen.note(`${who} event`)),
      Flaky.handle((who) => {
        const n = (tries.get(who) ?? 0) + 1;
        tries.set(who, n);
        seen.note(who);
        return n < 3 ? fail("DOWN", "503", { retryable: true }) as never : undefined;
      }, { behaviors: [retry({ attempts: 3, backoff: 1 })] }),
      Numbers.handle(async function* (who) {
        try {
          for (let n = 0;; n++) {
            await turn();
            seen.note(`${who} item`);
            yield n;
          }
        } finally {
          seen.note(`${who} finally`);
        }
      }),
      Locked.handle(async (who, ctx) => {
        await using _ = await ctx.lock("one");
        seen.note(who);
        await turn();
      }),
    ];
    await using app = await catga({ handlers, logger: quiet });
    await seen.as(async (who) => {
      unwrap(await app.publish(Told, who));
      unwrap(await app.send(Flaky, who));
      for await (const n of app.stream(Numbers, who)) if (n === 0) break;
      unwrap(await app.send(Locked, who));
      const led = Promise.withResolvers<void>();
      await using _term = app.lead(who, () => led.resolve(seen.note(`${who} leads`)));
      await led.promise;
      await app.cache.getOrSet(who, () => seen.note(`${who} load`) ?? 1);
    });
    await eventually("all have ended", () => Promise.resolve(seen.all.length >= 8 * PEOPLE.length));
    // V8 (Deno 2.9.6, Node 24) loses the async context of a generator whose `return` is called while it runs
    const forgotten = (what: string) => what.endsWith("finally");
    const others = seen.all.filter(([what, as]) => as !== what.slice(0, 3) && !(as === undefined && forgotten(what)));
    assertEquals(others, []);
  });

  it("is its sender's in a stream that is read in another context, also after it was resumed (it was the reader's)", async () => {
    const Rows = stream<string, number>("Rows", { resume: (who) => who });
    const seen = new Seen();
    let breaks = PEOPLE.length;
    const rows = Rows.handle(async function* (who) {
      for (let n = 0; n < 2; n++) {
        await turn();
        seen.note(who);
        yield n;
      }
      if (breaks-- > 0) throw new CatgaError("STREAM_BROKEN", "the link broke", { retryable: true });
    });
    await using app = await catga({ handlers: rows, logger: quiet });
    const opened = PEOPLE.map((who) => user.run(who, () => app.stream(Rows, who)));
    await Promise.all(opened.map((rows) => user.run("reader", () => Array.fromAsync(rows))));
    seen.own(4);
  });

  it("is kept by ctx.clock: after, soon and sleep", async () => {
    const Sleeps = command<string>("Sleeps");
    const seen = new Seen();
    const handlers = Sleeps.handle(async (who, { clock }) => {
      await new Promise<void>((resolve) => clock.after(1, () => resolve(seen.note(who))));
      await new Promise<void>((resolve) => clock.soon(() => resolve(seen.note(who))));
      await clock.sleep(1);
      seen.note(who);
    });
    await using cluster = await testCluster(1, { handlers });
    await seen.as(async (who) => unwrap(await cluster.apps[0].send(Sleeps, who)));
    seen.own(3);
  });
});

describe("the async context of what has no sender here", () => {
  it("is none: a handler on another node, of an event from there, and of the log", async () => {
    const Ask = query<string>("Ask");
    const Told = event<string>("Told");
    const Stored = event<string>("Stored", { durable: true, key: (who) => who });
    const Queued = command<string>("Queued", { durable: true });
    const seen = new Seen();
    const note = (who: string) => seen.note(who);
    const server = [Ask.handle(note), Told.on(note), Stored.on(note, { name: "notes" }), Queued.handle(note)];
    await using cluster = await testCluster(["server", "client"], {
      node: (id) => id === "server" ? { handlers: server } : {},
      logger: quiet,
    });
    const client = cluster.app("client");
    await seen.as(async (who) => {
      unwrap(await client.send(Ask, who));
      unwrap(await client.publish(Told, who));
      unwrap(await client.publish(Stored, who));
      unwrap(await client.enqueue(Queued, who));
    });
    await cluster.handled();
    await cluster.advance(100);
    seen.none(4);
  });

  it("is none: handlers of the log in one process, read models, batches and schedules (they ran as a publisher)", async () => {
    const Stored = event<string>("Stored", { durable: true, key: () => "one" });
    const Queued = command<string>("Queued", { durable: true });
    const seen = new Seen();
    const note = async (who: string) => {
      seen.note(who);
      await turn();
      seen.note(who);
    };
    const handlers = [
      Stored.on(note, { name: "notes" }),
      Stored.on(note, { name: "model", each: "node", from: "start" }),
      Stored.onBatch((batch) => batch.forEach(({ payload }) => (seen.note(payload), seen.note(payload))), {
        name: "batches",
      }),
      Queued.handle(note),
    ];
    // the first person that needs the app opens it, and the others share it
    let opening: Promise<Catga> | undefined;
    await seen.as(async (who) => {
      const app = await (opening ??= catga({ handlers, logger: quiet }));
      unwrap(await app.publish(Stored, who));
      unwrap(await app.enqueue(Queued, who, { delay: 20 }));
    });
    await using _app = await opening!;
    await eventually("all is handled", () => Promise.resolve(seen.all.length >= 8 * PEOPLE.length));
    seen.none(8);
  });

  it("is none: a workflow, whoever starts it, tells it or opened the app; a step has the one of its handler", async () => {
    const Order = workflow<string>("Order", { id: (who) => who });
    const Paid = Order.signal<string>("Paid");
    const Ship = command<string>("Ship", { idempotent: true });
    const seen = new Seen();
    const other = new AsyncLocalStorage<string>();
    const within: (string | undefined)[] = [];
    const handlers = [
      Ship.handle((who) => seen.note(who)),
      Order.handle(async (flow, who) => {
        seen.note(who);
        await flow.step("first", () => seen.note(who));
        await flow.wait(Paid);
        seen.note(who);
        await flow.sleep("a while", 5);
        await other.run(who, () => flow.step("in a context", () => void within.push(other.getStore())));
        unwrap(await flow.send(Ship, who));
      }),
    ];
    let opening: Promise<Catga> | undefined;
    await seen.as(async (who) => {
      const app = await (opening ??= catga({ handlers, logger: quiet }));
      unwrap(await app.start(Order, who));
      unwrap(
        await app.tell(Paid, PEOPLE[(PEOPLE.indexOf(who) + 1) % PEOPLE.length], who).then((told) =>
          told.ok ? told : app.tell(Paid, who, who)
        ),
      );
    });
    await using app = await opening!;
    for (const who of PEOPLE) await app.tell(Paid, who, "again"); // NO_RUN for an ended run
    for (const who of PEOPLE) unwrap(await app.result(Order, who));
    assertEquals([...new Set(seen.all.map(([, as]) => as))], [undefined]);
    assertEquals(within.sort(), PEOPLE);
  });
});

describe("the async context of a step", () => {
  it("is the one in which it was called, also in an attempt that an operator asks for while another step goes on", async () => {
    const seen: (string | undefined)[] = [];
    const other = new AsyncLocalStorage<string>();
    const again = Promise.withResolvers<void>();
    const Job = workflow<void, void>("Job");
    const job = Job.handle(async (flow) => {
      const stuck = other.run("own", () =>
        flow.step("stuck", ({ attempt }) => {
          seen.push(other.getStore());
          if (attempt === 1) throw new Error("no");
          again.resolve();
        }, { retry: { attempts: 1 } }));
      await Promise.all([stuck, flow.step("long", () => again.promise)]);
    });
    await using app = await catga({ handlers: job, logger: quiet });
    const run = unwrap(await other.run("starter", () => app.start(Job)));
    await eventually("the step is stuck", async () => {
      for await (const info of app.runs({ workflow: "Job", id: run })) {
        if (!info.timeline.some(({ type, name }) => type === "failed" && name === "stuck")) return false;
        await info.retry();
        return true;
      }
      return false;
    });
    unwrap(await app.result(Job, run));
    assertEquals([...new Set(seen)], ["own"]);
  });
});

describe("the async context of a signal that aborts", () => {
  it("is no other sender's, when a deadline passes", async () => {
    const Hang = command<string>("Hang");
    const seen: (readonly [string, string | undefined])[] = [];
    const handlers = Hang.handle((who, { signal }) =>
      new Promise<void>((resolve) =>
        signal.addEventListener("abort", () => {
          seen.push([who, user.getStore()]);
          resolve();
        })
      )
    );
    await using app = await catga({ handlers, logger: quiet });
    await Promise.all(PEOPLE.map((who) => user.run(who, () => app.send(Hang, who, { timeout: 20 }))));
    assertEquals(seen.map(([who]) => who).sort(), PEOPLE);
    assertEquals(seen.filter(([who, as]) => as !== undefined && as !== who), []);
  });
});
