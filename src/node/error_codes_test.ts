/**
 * For every code of docs/errors.md, the shortest program that leads to it; the tests also assert what a code says about
 * whether the handler ran. The codes in {@link ELSEWHERE} have their tests in other files.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import {
  type Catga,
  catga,
  CatgaError,
  command,
  entity,
  event,
  fail,
  query,
  type Result,
  type Schema,
  stream,
  unwrap,
  workflow,
} from "../../mod.ts";
import { delay } from "../ports/clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "../flow/run_suite.ts";
import { MemoryNetwork, testCluster, VirtualClock } from "../testing/mod.ts";

const Order = command<{ sku: string }, string>("Order");
const Price = query<{ sku: string }, number>("Price");
const Paid = workflow<void, string>("Paid");
const WhichCard = Paid.question<void, string>("WhichCard");
const tea = { sku: "tea" };
/** Has the outcome of its step at once, and ends 20 s later. */
const paid = Paid.handle(async (flow) => {
  const how = await flow.step("pay", () => "by card");
  await flow.sleep("a while", 20_000);
  return how;
});

/** Codes whose shortest program needs a NATS server or a behavior, and the files with their tests. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  BUCKET_MISMATCH: "src/nats/bucket_settings_test.ts",
  CONSUMER_LIMIT: "src/nats/consumer_limit_test.ts",
  RATE_LIMITED: "src/behaviors/rate_limit_test.ts",
  UNSUPPORTED: "src/log/publishing/publisher_test.ts",
};

describe("error code", () => {
  it("each of docs/errors.md has its program here, or a test in another file", async () => {
    const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
    const here = await read("src/node/error_codes_test.ts");
    const [codes] = (await read("docs/errors.md")).split("## Codes")[1].split("\n## ");
    const untested: string[] = [];
    for (const [, word] of codes.matchAll(/^### `(\w+)`$/gm)) {
      const [file, wanted] = word in ELSEWHERE ? [await read(ELSEWHERE[word]), word] : [here, `  it("${word}: `];
      if (!file.includes(wanted)) untested.push(word);
    }
    assertEquals(untested, []);
  });

  it("NO_HANDLER: no live node handles the contract, nor did one join within half a second", async () => {
    await using app = await catga({ handlers: Price.handle(() => 3) });
    code(await app.send(Order, tea), "NO_HANDLER");
  });

  it("NO_HANDLER: the node that the message is for is not there", async () => {
    await using app = await catga({ id: "a", handlers: Order.handle(() => "done") });
    code(await app.send(Order, tea, { node: "b" }), "NO_HANDLER");
  });

  it("UNAVAILABLE: the network was away until the deadline, so that the command certainly did not run", async () => {
    await using place = await shop();
    const { network, client, ran } = place;
    network.cut("client");
    const error = code(await client.send(Order, tea, { timeout: 100 }), "UNAVAILABLE");
    assertEquals([error.retryable, ran], [true, []]);
    network.restore("client");
  });

  it("TIMEOUT: a query was not answered before its deadline", async () => {
    await using app = await catga({ handlers: Price.handle(() => new Promise<number>(() => {})) });
    const error = code(await app.send(Price, tea, { timeout: 50 }), "TIMEOUT");
    assertEquals(error.retryable, false);
    await app.drain({ timeout: 0 });
  });

  it("OUTCOME_UNKNOWN: a command's node died with it in hand; it may have run", async () => {
    await using place = await shop({ slow: true });
    const { client, ran, kill } = place;
    const sent = client.send(Order, tea);
    await eventually("it to run", () => ran.length === 1);
    kill();
    const error = code(await sent, "OUTCOME_UNKNOWN");
    assertEquals([error.node, error.retryable, ran], ["shop", false, ["tea"]]);
  });

  it("OUTCOME_UNKNOWN: a command was not answered before its deadline", async () => {
    await using place = await shop({ slow: true });
    const { client, ran } = place;
    code(await client.send(Order, tea, { timeout: 1_000 }), "OUTCOME_UNKNOWN");
    assertEquals(ran, ["tea"]);
  });

  it("OUTCOME_UNKNOWN: also when the handler ends with its signal's reason at that moment (that was TIMEOUT)", async () => {
    await using cluster = new MemoryCluster();
    const handlers = Order.handle((_, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    );
    await cluster.start("shop", { handlers });
    const client = await cluster.start("client", { handlers: [] });
    for (let i = 0; i < 10; i++) {
      code(await cluster.clock.until(client.send(Order, tea, { timeout: 40 + i })), "OUTCOME_UNKNOWN");
    }
  });

  it("CANCELLED: the sender's signal aborted", async () => {
    await using place = await shop({ slow: true });
    const { client } = place;
    code(await client.send(Order, tea, { signal: AbortSignal.timeout(20) }), "CANCELLED");
  });

  it("OVERLOADED: the request could not begin before its deadline, so that it did not run", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const Bake = command<number, number>("Bake");
    const ran: number[] = [];
    const handlers = Bake.handle(async (n) => {
      ran.push(n);
      await delay(clock, 20);
      return n;
    });
    await cluster.start("oven", { handlers, concurrency: 1 });
    const client = await cluster.start("client", { handlers: [], retries: 0 });
    // the node can handle 50 messages a second: these 20 messages keep it busy for 400 ms
    const first = Array.from({ length: 20 }, (_, n) => client.send(Bake, n));
    await clock.advance(210);
    const hasty = await clock.until(Promise.all(
      Array.from({ length: 100 }, (_, n) => client.send(Bake, 100 + n, { timeout: 100 })),
    ));
    const refused = hasty.findIndex(({ error }) => error?.code === "OVERLOADED");
    const error = code(hasty[refused], "OVERLOADED");
    assertEquals([error.node, error.retryable, ran.includes(100 + refused)], ["oven", true, false]);
    assert((await clock.until(Promise.all(first))).every(({ ok }) => ok));
  });

  it("DRAINING: the request still waited when its node had to stop, so that it did not run", async () => {
    await using place = await shop({ slow: true, concurrency: 1 });
    const { shop: leaving, client, ran } = place;
    client.send(Order, { sku: "milk" });
    await eventually("it to run", () => ran.length === 1);
    const waiting = client.send(Order, tea, { retries: 0 });
    await eventually("it to wait", () => leaving.self.load.queued === 1);
    await leaving.drain({ timeout: 0 });
    const error = code(await waiting, "DRAINING");
    assertEquals([error.node, error.retryable, ran], ["shop", true, ["milk"]]);
  });

  it("INVALID_MESSAGE: the payload does not fit the contract's schema; details say where", async () => {
    const Sell = command<{ qty: number }, string>("Sell", { input: positive });
    await using app = await catga({ handlers: Sell.handle(() => "sold") });
    const error = code(await app.send(Sell, { qty: -1 }), "INVALID_MESSAGE");
    assertEquals(error.details, [{ message: "must be positive", path: ["qty"] }]);
  });

  it("INVALID_MESSAGE: the payload cannot be sent", async () => {
    await using place = await shop();
    const { client, ran } = place;
    code(await client.send(Order, { sku: Symbol("tea") as unknown as string }), "INVALID_MESSAGE");
    assertEquals(ran, []);
  });

  it("INVALID_RESPONSE: the answer does not fit the contract's schema; the handler did run", async () => {
    let ran = 0;
    const Stock = query<void, { qty: number }>("Stock", { output: positive });
    await using app = await catga({ handlers: Stock.handle(() => ({ qty: -++ran })) });
    const error = code(await app.send(Stock), "INVALID_RESPONSE");
    assertEquals([error.details, ran], [[{ message: "must be positive", path: ["qty"] }], 1]);
  });

  it("TOO_LARGE: the payload is larger than the server takes", async () => {
    await using place = await shop();
    const { client, ran } = place;
    const error = code(await client.send(Order, { sku: "x".repeat(2_000_000) }), "TOO_LARGE");
    assertEquals([error.retryable, ran], [false, []]);
  });

  it("HANDLER_FAILED: the handler threw; what it threw is in the log of its node and is not sent", async () => {
    const network = new MemoryNetwork();
    const logged: unknown[] = [];
    await using _shop = await catga({
      network,
      id: "shop",
      logger: { ...QUIET, error: (message, { error }) => logged.push(message, error) },
      handlers: Order.handle(() => {
        throw new Error("the till is on fire");
      }),
    });
    await using client = await catga({ network, id: "client" });
    const error = code(await client.send(Order, tea), "HANDLER_FAILED");
    assertEquals([error.node, error.message.includes("fire")], ["shop", false]);
    assertEquals((logged[1] as Error).message, "the till is on fire");
  });

  it("ID_REUSED: the id of an idempotent command was used with another payload; the command does not run", async () => {
    const Pay = command<{ amount: number }, string>("Pay", { idempotent: true });
    const paid: number[] = [];
    await using app = await catga({ handlers: Pay.handle(({ amount }) => `payment ${paid.push(amount)}`) });
    assertEquals(await app.send(Pay, { amount: 5 }, { id: "order-1" }), { ok: true, value: "payment 1" });
    assertEquals(await app.send(Pay, { amount: 5 }, { id: "order-1" }), { ok: true, value: "payment 1" });
    const error = code(await app.send(Pay, { amount: 6 }, { id: "order-1" }), "ID_REUSED");
    assertEquals([error.retryable, paid], [false, [5]]);
  });

  it("ID_TAKEN: another process has the node id", async () => {
    const network = new MemoryNetwork();
    await using _shop = await catga({ network, id: "shop" });
    const error = await assertRejects(() => catga({ network, id: "shop" }), CatgaError);
    assertEquals([error.code, error.retryable], ["ID_TAKEN", false]);
  });

  it("FORGOTTEN: the entity was forgotten; its command does not run", async () => {
    const Cart = entity("Cart", { initial: () => 0 });
    const Add = command<{ cart: string }, number>("Add", { key: ({ cart }) => cart });
    let ran = 0;
    await using app = await catga({ handlers: Cart.handle(Add, () => ++ran) });
    await app.forget(Cart, "c-1");
    const error = code(await app.send(Add, { cart: "c-1" }), "FORGOTTEN");
    assertEquals([error.final, error.retryable, ran], [true, false, 0]);
    assertEquals((await assertRejects(() => app.load(Cart, "c-1"), CatgaError)).code, "FORGOTTEN");
  });

  it("NOT_ENDED: the run had not ended within the timeout of the call, and goes on", async () => {
    await using cluster = await testCluster(1, { handlers: paid });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Paid));
    assertEquals(code(await app.result(Paid, run, { timeout: 1_000 }), "NOT_ENDED").retryable, true);
    assertEquals(unwrap(await app.result(Paid, run)), "by card");
  });

  it("NO_CALLBACK: no run has made the token", async () => {
    await using app = await catga({ handlers: paid });
    assertEquals(code(await app.complete("made.up", 7), "NO_CALLBACK").retryable, false);
  });

  it("CALLBACK_ENDED: the run has ended without waiting for the callback", async () => {
    const Brief = workflow<void, string>("Brief");
    const brief = Brief.handle((flow) => flow.callback("paid").token);
    await using app = await catga({ handlers: brief });
    const token = unwrap(await app.result(Brief, unwrap(await app.start(Brief))));
    assertEquals(code(await app.complete(token, 7), "CALLBACK_ENDED").retryable, false);
  });

  it("NOT_ANSWERED: the run has ended without answering the question", async () => {
    await using cluster = await testCluster(1, { handlers: paid });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Paid));
    const asking = app.ask(WhichCard, run, undefined, { timeout: 60_000 });
    assertEquals(unwrap(await app.result(Paid, run)), "by card");
    assertEquals(code(await asking, "NOT_ANSWERED").retryable, false);
  });

  it("NO_RUN: the workflow has no run of this id, or it has ended", async () => {
    await using cluster = await testCluster(1, { handlers: paid });
    const app = cluster.app("node-1");
    assertEquals(code(await app.result(Paid, "none", { timeout: 1_000 }), "NO_RUN").retryable, false);
    const run = unwrap(await app.start(Paid));
    unwrap(await app.result(Paid, run));
    code(await app.cancel(Paid, run, "too late"), "NO_RUN");
  });

  it("CONFLICT: the step that is to be skipped has its outcome already", async () => {
    await using cluster = await testCluster(1, { handlers: paid });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Paid));
    code(await app.result(Paid, run, { timeout: 1_000 }), "NOT_ENDED");
    const info = await infoOf(app, run);
    const error = await assertRejects(() => info.skip("pay", "by hand", "it was slow"), CatgaError);
    assertEquals([error.code, unwrap(await app.result(Paid, run))], ["CONFLICT", "by card"]);
  });

  it("STREAM_BROKEN: the node that makes the items died; details say how many have come", async () => {
    const Lines = stream<void, number>("Lines");
    const handlers = Lines.handle(async function* () {
      yield* [1, 2];
      await new Promise(() => {});
    });
    await using cluster = await testCluster(["maker", "reader"], {
      logger: QUIET,
      node: (id) => id === "maker" ? { handlers } : {},
    });
    const read = async () => {
      for await (const n of cluster.app("reader").stream(Lines)) if (n === 2) cluster.kill("maker");
    };
    const error = await assertRejects(() => cluster.until(read()), CatgaError);
    assertEquals([error.code, error.details, error.retryable], ["STREAM_BROKEN", { received: 2 }, true]);
  });

  it("OUTCOME_UNKNOWN: an idempotent command may be sent again with its id, and has one result", async () => {
    const Pay = command<{ amount: number }, string>("Pay", { idempotent: true });
    const till = Promise.withResolvers<void>();
    let paid = 0;
    const handlers = Pay.handle(() => till.promise.then(() => `payment ${++paid}`));
    const clock = new VirtualClock();
    const app = await clock.until(catga({ network: new MemoryNetwork({ clock }), handlers }));
    code(
      await clock.until(app.send(Pay, { amount: 5 }, { id: "order-1", timeout: 100 })),
      "OUTCOME_UNKNOWN",
    );
    till.resolve();
    const again = await clock.until(app.send(Pay, { amount: 5 }, { id: "order-1" }));
    assertEquals(again, { ok: true, value: "payment 1" });
    await clock.until(app.drain());
  });

  it("DEADLOCK: a handler waits for a lock whose holder waits for this handler; details say who waits for whom", async () => {
    const Outer = command<void, string>("Outer");
    const Inner = command<void, string>("Inner");
    const handlers = [
      Outer.handle(async (_, ctx) => {
        await ctx.lock("till");
        return unwrap(await ctx.send(Inner));
      }),
      Inner.handle((_, ctx) => ctx.lock("till").then(() => "never")),
    ];
    await using app = await catga({ id: "shop", handlers });
    const error = code(await app.send(Outer), "DEADLOCK");
    const { key, cycle } = error.details as { key: string; cycle: { waitsFor: string; heldBy: { node: string } }[] };
    assertEquals([key, cycle.map(({ waitsFor, heldBy }) => [waitsFor, heldBy.node])], ["till", [["till", "shop"]]]);
  });

  it("DEADLOCK: a handler awaits a message that needs the turn which the handler has; the message did not run", async () => {
    const Nested = command<number, string>("Nested");
    const ran: number[] = [];
    const handlers = Nested.handle(async (depth, ctx) => {
      ran.push(depth);
      return depth === 0 ? "done" : unwrap(await ctx.send(Nested, depth - 1));
    }, { concurrency: 1 });
    await using app = await catga({ handlers });
    const error = code(await app.send(Nested, 1), "DEADLOCK");
    assertEquals([error.retryable, ran], [false, [1]]);
  });

  it("LOCK_TIMEOUT: the lock was not released in time; details say who holds it", async () => {
    await using app = await catga({ id: "shop" });
    await using _held = await app.lock("till");
    const error = await assertRejects(() => app.lock("till", { timeout: 500 }), CatgaError);
    const { key, holder } = error.details as { key: string; holder: { node: string } };
    assertEquals([error.code, error.retryable, key, holder.node], ["LOCK_TIMEOUT", true, "till", "shop"]);
  });

  it("LOCK_LOST: the holder was cut off until another node could hold the lock", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const [holder, next] = await clock.until(Promise.all([
      catga({ network, id: "holder", logger: QUIET }),
      catga({ network, id: "next", logger: QUIET }),
    ]));
    const lock = await clock.until(holder.lock("till", { ttl: 3_000 }));
    network.cut("holder");
    const later = await clock.until(next.lock("till"));
    assertEquals([lock.signal.reason.code, later.token > lock.token], ["LOCK_LOST", true]);
    network.restore("holder");
    await clock.until(Promise.all([holder.drain(), next.drain()]));
  });

  it("CLOSED: the app has stopped", async () => {
    const app = await catga({ handlers: Order.handle(() => "done") });
    await app.drain();
    code(await app.send(Order, tea), "CLOSED");
    for (
      const ask of [
        () => app.subscriptions(),
        () => app.deadLetters().next(),
        () => app.rewind("all", "start"),
        () => app.runs().next(),
      ]
    ) {
      assertEquals((await assertRejects(ask, CatgaError, "has stopped")).code, "CLOSED");
    }
  });

  it("a durable event: UNAVAILABLE, and it is certainly not stored; INVALID_MESSAGE when its key cannot be made", async () => {
    const Placed = event<{ sku: string }>("Placed", { durable: true, key: ({ sku }) => sku.toLowerCase() });
    const network = new MemoryNetwork();
    await using app = await catga({ network, id: "a", logger: QUIET });
    assertEquals(await app.publish(Placed, tea), { ok: true, value: undefined });
    network.cut("a");
    assertEquals(code(await app.publish(Placed, tea, { timeout: 50 }), "UNAVAILABLE").retryable, true);
    network.restore("a");
    code(await app.publish(Placed, {} as typeof tea), "INVALID_MESSAGE");
    assertThrows(
      () => app.publish(event<void>("Told"), undefined, { delay: 5 as never }),
      TypeError,
      "publish Told: delay is of a durable event",
    );
  });

  it("LOG_MISMATCH: the log exists with other settings", async () => {
    const network = new MemoryNetwork();
    await network.log.open("catga_default_log", { subjects: ["x"], replicas: 1, schedules: false });
    await using app = await catga({ network, id: "a", logger: QUIET });
    code(await app.enqueue(command("Later", { durable: true })), "LOG_MISMATCH");
  });

  it("INVALID_MESSAGE: the key function threw, or gave no text, whatever the contract has its key for", async () => {
    const bug = new TypeError("no sku");
    const key = ({ sku }: { sku: string }): string => {
      if (sku === undefined) throw bug;
      return sku;
    };
    const contracts = [
      command<{ sku: string }, void>("Plain", { key }),
      command<{ sku: string }, void>("Ordered", { key, ordered: true }),
      query<{ sku: string }, void>("Hashed", { key, route: "hash" }),
      command("Typed", { key, ordered: true, input: anything as Schema<{ sku: string }>, output: anything }),
    ];
    await using place = await shop();
    const { network, client } = place;
    const ran: unknown[] = [];
    const handlers = contracts.map((contract) => contract.handle((payload) => void ran.push(payload)));
    await using node = await catga({ network, id: "keyed", handlers, logger: QUIET });
    await eventually("the client to see it", () => client.nodes().length === 3);
    for (const app of [node, client]) {
      for (const contract of contracts) {
        const about = `the key of ${contract.name} cannot be made of this payload: `;
        const thrown = code(await app.send(contract, {} as typeof tea, { timeout: 5_000 }), "INVALID_MESSAGE");
        assertEquals([thrown.message, thrown.cause], [`${about}the key function threw`, bug]);
        const noText = code(await app.send(contract, { sku: 7 as never }, { timeout: 5_000 }), "INVALID_MESSAGE");
        assertEquals(noText.message, `${about}it must be a string; got 7`);
        const results = await app.sendAll(contract, [tea, {} as typeof tea, tea], { retries: 0 });
        assertEquals(results.map(({ error }) => error?.code), [undefined, "INVALID_MESSAGE", undefined]);
        const [{ result }] = await app.broadcast(contract, {} as typeof tea);
        code(result, "INVALID_MESSAGE");
      }
    }
    assertEquals(ran, new Array(16).fill(tea));
  });

  it("any other code: the one that the handler gave to fail()", async () => {
    const handlers = Order.handle(() => fail("OUT_OF_TEA", "no tea left", { retryable: true, details: { left: 0 } }));
    await using app = await catga({ handlers });
    const error = code(await app.send(Order, tea), "OUT_OF_TEA");
    assertEquals([error.message, error.retryable, error.details], ["no tea left", true, { left: 0 }]);
  });
});

/** A schema that refuses every payload, with an issue at `qty`. */
const positive: Schema<{ qty: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: () => ({ issues: [{ message: "must be positive", path: ["qty"] }] }),
  },
};

/** A schema that accepts every payload. */
const anything: Schema<unknown> = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };

/**
 * Starts a node that handles orders (with `slow`, never to their end), and a client that knows it; `ran`: the orders
 * that were handled.
 */
async function shop({ slow = false, concurrency = 1_024 } = {}): Promise<
  { network: MemoryNetwork; shop: Catga; client: Catga; ran: string[]; kill(): void } & AsyncDisposable
> {
  const network = new MemoryNetwork();
  const ran: string[] = [];
  const handlers = Order.handle(({ sku }) => {
    ran.push(sku);
    return slow ? new Promise<string>(() => {}) : "done";
  });
  const shop = await catga({ network, id: "shop", handlers, concurrency, logger: QUIET });
  const client = await catga({ network, id: "client", logger: QUIET });
  await eventually("the client to see the shop", () => client.nodes().length === 2);
  const alive = new Set([shop, client]);
  const close = async () => {
    network.heal();
    await Promise.all(Array.from(alive, (app) => app.drain({ timeout: 0 })));
  };
  const kill = () => {
    network.kill("shop");
    alive.delete(shop);
  };
  return { network, shop, client, ran, kill, [Symbol.asyncDispose]: close };
}

/** Asserts that a result failed with this code, and returns its error. */
function code(result: Result<unknown>, wanted: string): CatgaError {
  assertEquals(result.error?.code, wanted, result.error?.message);
  assert(result.error instanceof CatgaError);
  return result.error;
}
