/**
 * Tests of idempotent commands as a program uses them: through apps of one cluster, with nodes that die, freeze, drain
 * and lose the store.
 */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { type Behavior, catga, command, fail, query, type Result, type Schema } from "../../mod.ts";
import { delay } from "../ports/clock.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { StoreOutage } from "../../test/support/store_outage.ts";
import type { Code } from "../error.ts";
import type { Route } from "../contract/nodes/node_info.ts";

const Pay = command<{ amount: number }, string>("Pay", { idempotent: true });

describe("an idempotent command", () => {
  it("runs once for ten sends of its id at once, from and through several nodes", async () => {
    const { cluster, runs } = await shops({ ms: 100 });
    await using _ = cluster;
    const sent = ["a", "b", "c"].flatMap((from) =>
      ["a", "b", "c"].map((node) => cluster.apps.get(from)!.send(Pay, { amount: 5 }, { id: "order 1", node }))
    );
    const results = await cluster.clock.until(Promise.all(sent));
    assertEquals(runs.length, 1);
    assertEquals(new Set(results.map(told)), new Set([`5 paid by ${runs[0].node}`]));
  });

  it("runs for each send that has no id of its own", async () => {
    const { cluster, runs } = await shops();
    await using _ = cluster;
    const app = cluster.apps.get("a")!;
    await cluster.clock.until(Promise.all([app.send(Pay, { amount: 1 }), app.send(Pay, { amount: 1 })]));
    await cluster.clock.until(app.sendAll(Pay, [{ amount: 1 }, { amount: 1 }]));
    assertEquals(new Set(runs.map(({ id }) => id)).size, 4);
  });

  it("whose node is killed goes to another node with the same id, and runs there once the holder is known to be gone", async () => {
    const { cluster, runs } = await shops({ ms: 60_000, slow: "a" });
    await using _ = cluster;
    const { clock } = cluster;
    const sent = cluster.apps.get("c")!.send(Pay, { amount: 5 }, { route: first("a", "b") });
    await clock.advance(50);
    cluster.kill("a");
    const began = clock.monotonic();
    assertEquals(told(await clock.until(sent)), "5 paid by b");
    assert(clock.monotonic() - began < 7_500, `it took ${clock.monotonic() - began} ms`);
    assertEquals(runs.map(({ node }) => node), ["a", "b"]);
    assertEquals(new Set(runs.map(({ id }) => id)).size, 1);
    assertGreater(runs[1].fence, runs[0].fence);
    assertEquals(runs.map(({ attempt }) => attempt), [1, 2]);
  });

  it("whose node freezes is sent to another node, which waits for the result and does not run it", async () => {
    const { cluster, runs } = await shops({ ms: 4_000 });
    await using _ = cluster;
    const { clock, network } = cluster;
    const sent = cluster.apps.get("c")!.send(Pay, { amount: 5 }, { route: first("a", "b") });
    await clock.advance(50);
    network.pause("a");
    clock.after(8_000, () => network.resume("a"));
    assertEquals(told(await clock.until(sent)), "5 paid by a");
    assertEquals(runs.map(({ node }) => node), ["a"]);
  });

  it("whose node freezes runs on there when it is sent to another node (its signal aborted, and it ran again)", async () => {
    const cluster = new MemoryCluster();
    await using _ = cluster;
    const { clock, network } = cluster;
    const runs: string[] = [];
    const pay = Pay.handle(async ({ amount }, { node, signal }) => {
      runs.push(node);
      await delay(network.clockOf(node), 6_000, signal);
      return `${amount} paid by ${node}`;
    });
    for (const id of ["a", "b", "c"]) await cluster.start(id, { handlers: pay });
    const sent = cluster.apps.get("c")!.send(Pay, { amount: 5 }, { route: first("a", "b") });
    await clock.advance(50);
    network.pause("a");
    await clock.advance(3_000);
    network.resume("a");
    assertEquals(told(await clock.until(sent)), "5 paid by a");
    assertEquals(runs, ["a"]);
  });

  it("that waits for its claim on a node that freezes is ended there when it is sent to another node", async () => {
    const { cluster, runs } = await shops({ ms: 20_000 });
    await using _ = cluster;
    const { clock, network } = cluster;
    const options = { id: "order 1", timeout: 60_000 };
    const running = cluster.apps.get("b")!.send(Pay, { amount: 5 }, { ...options, node: "b" });
    await clock.advance(50);
    const waiting = cluster.apps.get("c")!.send(Pay, { amount: 5 }, { ...options, route: first("a", "c") });
    await clock.advance(50);
    assertEquals(cluster.apps.get("a")!.self.load.inFlight, 1);
    network.pause("a");
    await clock.advance(2_000);
    network.resume("a");
    await clock.advance(1_000);
    assertEquals(cluster.apps.get("a")!.self.load.inFlight, 0);
    assertEquals((await clock.until(Promise.all([running, waiting]))).map(told), ["5 paid by b", "5 paid by b"]);
    assertEquals(runs.map(({ node }) => node), ["b"]);
  });

  it("whose node freezes for longer than its lease runs again, and every sender gets the one recorded result", async () => {
    const { cluster, runs } = await shops({ ms: 4_000, slow: "a" });
    await using _ = cluster;
    const { clock, network } = cluster;
    const options = { id: "order 1", route: first("a", "b"), timeout: 60_000 };
    const sent = cluster.apps.get("c")!.send(Pay, { amount: 5 }, options);
    const own = cluster.apps.get("a")!.send(Pay, { amount: 5 }, { ...options, node: "a" });
    await clock.advance(50);
    network.pause("a");
    clock.after(30_000, () => network.resume("a"));
    assertEquals((await clock.until(Promise.all([sent, own]))).map(told), ["5 paid by b", "5 paid by b"]);
    assertEquals(runs.map(({ node }) => node), ["a", "b"]);
  });

  it("is not taken from a holder that reconnects, as the others do, after the server was away", async () => {
    const { cluster, runs } = await shops({ ms: 10_000 });
    await using _ = cluster;
    const { clock, network } = cluster;
    const sent = ["a", "b"].map((node) => cluster.apps.get(node)!.send(Pay, { amount: 5 }, { id: "order 1", node }));
    await clock.advance(1_900);
    network.cut("a");
    network.cut("b");
    await clock.advance(10);
    network.restore("b");
    await clock.advance(2_000);
    network.restore("a");
    assertEquals((await clock.until(Promise.all(sent))).map(told), ["5 paid by a", "5 paid by a"]);
    assertEquals(runs.map(({ node }) => node), ["a"]);
  });

  for (const ms of [1_200, 2_000, 4_000]) {
    it(`runs once though its node is cut off for ${ms} ms, whenever the others ask for it (was twice from 1.2 s on)`, async () => {
      for (let offset = 0; offset < 1_000; offset += 125) {
        const { cluster, runs } = await shops({ ms: 12_000 });
        await using _ = cluster;
        const { clock, network } = cluster;
        const sent = ["a", "b", "c"].map((node) =>
          cluster.apps.get(node)!.send(Pay, { amount: 5 }, { id: "order 1", node })
        );
        await clock.advance(1_000 + offset);
        network.cut("a");
        await clock.advance(ms);
        network.restore("a");
        const paid = (await clock.until(Promise.all(sent))).map(told);
        assertEquals(paid, ["5 paid by a", "5 paid by a", "5 paid by a"]);
        assertEquals(runs.map(({ node }) => node), ["a"]);
      }
    });
  }

  it("whose node froze for longer than its lease: its signal aborts, what it sends is cancelled, and it gets the other's result", async () => {
    const Rate = query<void, number>("Rate", { timeout: 60_000 });
    const cluster = new MemoryCluster();
    await using _ = cluster;
    const { clock, network } = cluster;
    const seen: unknown[] = [];
    const pay = Pay.handle(async ({ amount }, ctx) => {
      if (ctx.node === "b") return `${amount} paid by b`;
      ctx.signal.addEventListener("abort", () => seen.push(["signal", ctx.signal.reason.code]));
      seen.push(["during", (await ctx.send(Rate)).error?.code]);
      seen.push(["after", (await ctx.send(Rate)).error?.code]);
      return ctx.signal.reason;
    });
    await cluster.start("a", { handlers: pay });
    await cluster.start("b", { handlers: pay });
    await cluster.start("rates", { handlers: Rate.handle(() => new Promise<number>(() => {})) });
    const options = { id: "order 1", timeout: 60_000 };
    const own = cluster.apps.get("a")!.send(Pay, { amount: 5 }, { ...options, node: "a" });
    await clock.advance(1_000);
    network.pause("a");
    const other = cluster.apps.get("b")!.send(Pay, { amount: 5 }, { ...options, node: "b" });
    await clock.advance(30_000);
    network.resume("a");
    assertEquals((await clock.until(Promise.all([own, other]))).map(told), ["5 paid by b", "5 paid by b"]);
    assertEquals(seen, [["signal", "OUTCOME_UNKNOWN"], ["during", "CANCELLED"], ["after", "CANCELLED"]]);
    cluster.kill("rates");
  });

  it("that waited for its turn while it lost its claim does not begin", async () => {
    const cluster = new MemoryCluster();
    await using _ = cluster;
    const { clock, network } = cluster;
    const turn = Promise.withResolvers<void>();
    const runs: string[] = [];
    const pay = Pay.handle(async ({ amount }, { id, node }) => {
      runs.push(`${id} ${node}`);
      if (id === "1") await turn.promise;
      return `${amount} paid by ${node}`;
    }, { concurrency: 1 });
    const [a, b] = [await cluster.start("a", { handlers: pay }), await cluster.start("b", { handlers: pay })];
    const first = a.send(Pay, { amount: 1 }, { id: "1", node: "a", timeout: 60_000 });
    await clock.advance(10);
    const second = a.send(Pay, { amount: 2 }, { id: "2", node: "a", timeout: 60_000 });
    await clock.advance(1_000);
    network.pause("a");
    const other = b.send(Pay, { amount: 2 }, { id: "2", node: "b", timeout: 60_000 });
    await clock.advance(30_000);
    // the handler on node a, which was paused, continues before a timer notices that its claim (record that reserves
    // the id) is lost
    turn.resolve();
    await clock.advance(0);
    network.resume("a");
    const results = await clock.until(Promise.all([first, second, other]));
    assertEquals(results.map(told), ["1 paid by a", "2 paid by b", "2 paid by b"]);
    assertEquals(runs, ["1 a", "2 b"]);
  });

  it("whose only node died with it in hand is OUTCOME_UNKNOWN, though no node is left to handle it (was NO_HANDLER)", async () => {
    const { cluster, runs } = await shops({ ms: 60_000, nodes: ["a"] });
    await using _ = cluster;
    const client = await cluster.start("client", { handlers: [] });
    const sent = client.send(Pay, { amount: 5 });
    await cluster.clock.advance(50);
    cluster.kill("a");
    assertEquals(told(await cluster.clock.until(sent)), "OUTCOME_UNKNOWN");
    assertEquals(runs.length, 1);
  });

  it("whose second attempt was not sent in time is OUTCOME_UNKNOWN, because the first may have run (was UNAVAILABLE)", async () => {
    const { cluster, runs } = await shops({ ms: 60_000, nodes: ["a", "b"] });
    await using _ = cluster;
    const client = await cluster.start("client", { handlers: [] });
    const sent = client.send(Pay, { amount: 5 }, { route: first("a", "b"), timeout: 900 });
    await cluster.clock.advance(50);
    cluster.kill("a");
    cluster.kill("b");
    assertEquals(told(await cluster.clock.until(sent)), "OUTCOME_UNKNOWN");
    assertEquals(runs.length, 1);
  });

  for (const sender of ["client", "b"]) {
    it(`whose second attempt finds no store: OUTCOME_UNKNOWN, for the first may have run (second in ${sender === "b" ? "this" : "another"} node)`, async () => {
      const { cluster, runs, outage } = await shops({ ms: 60_000, nodes: ["a", "b", "client"], outage: ["b"] });
      await using _ = cluster;
      const { clock } = cluster;
      const sent = cluster.apps.get(sender)!.send(Pay, { amount: 5 }, { route: first("a", "b"), timeout: 8_000 });
      await clock.advance(50);
      outage.begin();
      cluster.kill("a");
      assertEquals(told(await clock.until(sent)), "OUTCOME_UNKNOWN");
      outage.end();
      assertEquals(runs.map(({ node }) => node), ["a"]);
    });
  }

  it("that left a silent node says what its second attempt failed with (it said that the process was gone)", async () => {
    const { cluster, outage } = await shops({ ms: 60_000, nodes: ["a", "b"], outage: ["b"] });
    await using _ = cluster;
    const client = await cluster.start("client", { handlers: [] });
    const sent = client.send(Pay, { amount: 5 }, { route: first("a", "b"), timeout: 8_000 });
    await cluster.clock.advance(50);
    outage.begin();
    cluster.network.pause("a");
    const { error } = await cluster.clock.until(sent);
    outage.end();
    cluster.network.resume("a");
    const { code, message } = error!;
    assertEquals(code, "OUTCOME_UNKNOWN");
    assertMatch(
      message,
      /^command Pay may have run on node a, which did not answer; last error: .*no answer from the store/,
    );
  });

  it("sent in a node without a network has one result, too", async () => {
    let runs = 0;
    await using app = await catga({
      handlers: Pay.handle(({ amount }, ctx) => `${amount}, run ${++runs} as ${ctx.id}`),
    });
    const sent = await Promise.all([1, 2].map(() => app.send(Pay, { amount: 5 }, { id: "order 1" })));
    assertEquals(sent.map(told), ["5, run 1 as order 1", "5, run 1 as order 1"]);
    assertEquals(told(await app.send(Pay, { amount: 6 }, { id: "order 1" })), "ID_REUSED");
    assertEquals(told(await app.send(Pay, { amount: 5 }, { id: "order 2" })), "5, run 2 as order 2");
  });

  it("is compared by the payload that its senders gave, not by the parsed one: equal for local and remote senders", async () => {
    const cluster = new MemoryCluster();
    await using _ = cluster;
    let runs = 0;
    const Stamp = command<{ at: string }, number, Code, { at: Date; order: number }>("Stamp", {
      idempotent: true,
      // the schema returns another value at each call: the fingerprint of the payload must not depend on it
      input: schema(({ at }: { at: string }) => ({ at: new Date(at), order: ++runs })),
    });
    const handlers = Stamp.handle(({ at }) => at.getTime());
    const [a, b] = [await cluster.start("a", { handlers }), await cluster.start("b", { handlers })];
    const at = "2026-01-01T00:00:00.000Z";
    for (const [app, node] of [[a, "a"], [a, "b"], [b, "a"], [b, "b"]] as const) {
      const result = await cluster.clock.until(app.send(Stamp, { at }, { id: "1", node }));
      assertEquals(told(result), Date.parse(at));
    }
    const other = await cluster.clock.until(b.send(Stamp, { at: "2027-01-01T00:00:00.000Z" }, { id: "1", node: "b" }));
    assertEquals(told(other), "ID_REUSED");
  });

  it("that failed may be tried again with its id; one that failed for good may not", async () => {
    const { cluster, runs } = await shops({ answer: (n) => fail(`NO_${n}`, "no money", n < 3 ? {} : { final: true }) });
    await using _ = cluster;
    const results: unknown[] = [];
    for (const node of ["a", "b", "a", "b", "c"]) {
      const sent = cluster.apps.get("c")!.send(Pay, { amount: 5 }, { id: "order 1", node });
      results.push(told(await cluster.clock.until(sent)));
    }
    assertEquals([results, runs.length], [["NO_1", "NO_2", "NO_3", "NO_3", "NO_3"], 3]);
    const fences = runs.map(({ fence }) => fence);
    assertEquals(fences, [...fences].sort((a, b) => a - b));
    assertEquals(new Set(fences).size, 3);
  });

  it("that throws frees its id, on whichever node it is tried next", async () => {
    const { cluster, runs } = await shops({
      answer: (n) => {
        if (n === 1) throw new Error("the till is on fire");
        return "paid";
      },
    });
    await using _ = cluster;
    const send = (node: string) =>
      cluster.clock.until(cluster.apps.get("a")!.send(Pay, { amount: 1 }, { id: "1", node }));
    assertEquals([told(await send("b")), told(await send("a")), runs.length], ["HANDLER_FAILED", "paid", 2]);
  });

  for (const kind of ["value", "final failure"]) {
    it(`has one result at every node, whatever its size (${kind}; other nodes got TOO_LARGE in place of what the store took)`, async () => {
      const Make = command<{ characters: number }, string>("Make", { idempotent: true });
      const make = Make.handle(({ characters }) =>
        kind === "value"
          ? "x".repeat(characters)
          : fail("SOLD_OUT", "none is left", { final: true, details: "x".repeat(characters) })
      );
      const maxPayload = 16_384;
      await using cluster = new MemoryCluster({ maxPayload });
      for (const id of ["a", "b"]) await cluster.start(id, { handlers: make });
      await cluster.start("c");
      const whole = new Set<boolean>();
      for (let characters = maxPayload - 4_000; characters <= maxPayload + 200; characters += 100) {
        const results: string[] = [];
        for (const [sender, node] of [["c", "a"], ["a", "a"], ["b", "b"], ["a", "b"]]) {
          const sent = cluster.apps.get(sender)!.send(Make, { characters }, { id: `make ${characters}`, node });
          const { value, error } = await cluster.clock.until(sent);
          const has = value ?? String(error?.details);
          whole.add(has.length === characters);
          results.push(`${error?.code ?? "ok"} with ${has.slice(0, 30)}, ${has.length} characters`);
        }
        assertEquals(new Set(results).size, 1, `${characters} characters: ${results.join("; ")}`);
      }
      assertEquals(whole, new Set([true, false]), "the sizes are below the limit and above it");
    });
  }

  it("whose id was used with another payload is ID_REUSED, and does not run", async () => {
    const { cluster, runs } = await shops();
    await using _ = cluster;
    const send = (amount: number, node: string) =>
      cluster.clock.until(cluster.apps.get("a")!.send(Pay, { amount }, { id: "1", node }));
    await send(1, "a");
    const result = await send(2, "b");
    assertEquals([told(result), result.error?.retryable, runs.length], ["ID_REUSED", false, 1]);
  });

  it("is wrapped by behaviors when it runs, and not when its result is there already", async () => {
    const cluster = new MemoryCluster();
    await using _ = cluster;
    let wrapped = 0;
    const counting: Behavior = (_, next) => (wrapped++, next());
    const app = await cluster.start("a", { handlers: Pay.handle(() => "paid"), behaviors: [counting] });
    for (let i = 0; i < 3; i++) await cluster.clock.until(app.send(Pay, { amount: 1 }, { id: "1" }));
    assertEquals(wrapped, 1);
  });

  it("that cannot begin in time is refused, did not run, and leaves its id free", async () => {
    const { cluster, runs } = await shops({ ms: 1_000, concurrency: 1, nodes: ["a", "client"] });
    await using _ = cluster;
    const { clock } = cluster;
    const client = cluster.apps.get("client")!;
    const busy = client.send(Pay, { amount: 1 }, { id: "1", node: "a" });
    await clock.advance(10);
    const own = await clock.until(
      cluster.apps.get("a")!.send(Pay, { amount: 3 }, { id: "3", node: "a", timeout: 200 }),
    );
    assertEquals([told(own), runs.length], ["UNAVAILABLE", 1]);
    assertEquals(told(await clock.until(busy)), "1 paid by a");
    assertEquals(told(await clock.until(client.send(Pay, { amount: 3 }, { id: "3", node: "a" }))), "3 paid by a");
  });

  it("keeps the order of its key, also when the store answers out of order", async () => {
    const Append = command<{ list: string; n: number }, void>("Append", {
      idempotent: true,
      ordered: true,
      key: ({ list }) => list,
    });
    const cluster = new MemoryCluster();
    await using _ = cluster;
    const appended: number[] = [];
    const app = await cluster.start("a", { handlers: Append.handle(({ n }) => void appended.push(n)) });
    const order = Array.from({ length: 10 }, (_, n) => n);
    cluster.network.faults = { lostAck: 0.3 }; // a lost claim is found after 5 s
    const sent = order.map((n) => app.send(Append, { list: "l", n }, { id: `${n}`, timeout: 300_000 }));
    await cluster.clock.until(Promise.all(sent), 300_000);
    cluster.network.faults = {};
    assertEquals(appended, order);
  });

  for (const node of ["a", "b"]) {
    it(`${node === "a" ? "of this node" : "of another node"}: UNAVAILABLE while the store is away, and it does not run`, async () => {
      const { cluster, runs, outage } = await shops({ nodes: ["a", "b"], outage: ["a", "b"] });
      await using _ = cluster;
      const { clock } = cluster;
      const app = cluster.apps.get("a")!;
      outage.begin();
      const result = await clock.until(app.send(Pay, { amount: 5 }, { id: "1", node, timeout: 12_000 }));
      assertEquals([told(result), result.error?.retryable], ["UNAVAILABLE", true]);
      outage.end();
      await clock.advance(10_000);
      assertEquals(runs, []);
      assertEquals(told(await clock.until(app.send(Pay, { amount: 5 }, { id: "1", node }))), `5 paid by ${node}`);
    });
  }

  it("that is cancelled before it has its claim is CANCELLED, and never runs", async () => {
    const { cluster, runs } = await shops({ ms: 1_000 });
    await using _ = cluster;
    const { clock } = cluster;
    const first = cluster.apps.get("a")!.send(Pay, { amount: 5 }, { id: "1", node: "a" });
    await clock.advance(10);
    const giveUp = new AbortController();
    const second = cluster.apps.get("b")!.send(Pay, { amount: 5 }, { id: "1", node: "b", signal: giveUp.signal });
    await clock.advance(10);
    giveUp.abort();
    assertEquals(told(await clock.until(second)), "CANCELLED");
    assertEquals([told(await clock.until(first)), runs.length], ["5 paid by a", 1]);
  });

  it("that waits for a result at its deadline is OUTCOME_UNKNOWN, because another run is under way", async () => {
    const { cluster, runs } = await shops({ ms: 1_000 });
    await using _ = cluster;
    const { clock } = cluster;
    const first = cluster.apps.get("a")!.send(Pay, { amount: 5 }, { id: "1", node: "a" });
    await clock.advance(10);
    const second = await clock.until(
      cluster.apps.get("b")!.send(Pay, { amount: 5 }, { id: "1", node: "b", timeout: 300 }),
    );
    assertEquals([told(second), told(await clock.until(first)), runs.length], ["OUTCOME_UNKNOWN", "5 paid by a", 1]);
  });

  it("whose handler runs at its deadline is OUTCOME_UNKNOWN at once, and the result is kept for the next send", async () => {
    const { cluster, runs } = await shops({ ms: 1_000 });
    await using _ = cluster;
    const { clock } = cluster;
    const app = cluster.apps.get("a")!;
    const began = clock.monotonic();
    const sent = await clock.until(app.send(Pay, { amount: 5 }, { id: "1", node: "a", timeout: 300 }));
    assertEquals([told(sent), clock.monotonic() - began <= 320], ["OUTCOME_UNKNOWN", true]);
    assertEquals(told(await clock.until(app.send(Pay, { amount: 5 }, { id: "1", node: "b" }))), "5 paid by a");
    assertEquals(runs.length, 1);
  });

  it("that waits for its claim when its node stops goes to another one", async () => {
    const { cluster, runs, outage } = await shops({ outage: ["a"] });
    await using _ = cluster;
    const { clock } = cluster;
    outage.begin();
    const sent = cluster.apps.get("c")!.send(Pay, { amount: 5 }, { route: first("a", "b") });
    await clock.advance(100);
    const drained = cluster.apps.get("a")!.drain({ timeout: 200 });
    assertEquals(told(await clock.until(sent)), "5 paid by b");
    outage.end();
    await clock.until(drained);
    assertEquals(runs.map(({ node }) => node), ["b"]);
  });

  it("that is broadcast runs on every node, once for the id that its sender gave", async () => {
    const { cluster, runs } = await shops();
    await using _ = cluster;
    for (let i = 0; i < 2; i++) {
      const results = await cluster.clock.until(cluster.apps.get("a")!.broadcast(Pay, { amount: 5 }, { id: "1" }));
      assertEquals(results.map(({ node, result }) => [node, told(result)]), [
        ["a", "5 paid by a"],
        ["b", "5 paid by b"],
        ["c", "5 paid by c"],
      ]);
    }
    assertEquals(runs.map(({ node }) => node).sort(), ["a", "b", "c"]);
  });
});

interface Run {
  readonly node: string;
  readonly id: string;
  readonly amount: number;
  readonly fence: number;
  readonly attempt: number;
}

interface ShopOptions {
  /** Duration of a payment, in ms. */
  readonly ms?: number;
  /** The only node on which a payment takes `ms`; absent: on all nodes. */
  readonly slow?: string;
  readonly concurrency?: number;
  readonly nodes?: readonly string[];
  /** Nodes whose store the test can take away. */
  readonly outage?: readonly string[];
  /** Returns the result of the nth payment. */
  readonly answer?: (n: number) => string | ReturnType<typeof fail>;
}

/** Starts nodes that all handle payments, and a node `client` that does not. */
async function shops(
  options: ShopOptions = {},
): Promise<{ cluster: MemoryCluster; runs: Run[]; outage: StoreOutage }> {
  const { ms = 0, slow, concurrency, nodes = ["a", "b", "c"], answer } = options;
  const cluster = new MemoryCluster();
  const runs: Run[] = [];
  const start = async (node: string) => {
    const pay = Pay.handle(async ({ amount }, { id, fence, attempt }) => {
      const n = runs.push({ node, id, amount, fence: fence!, attempt });
      if (ms > 0 && (slow ?? node) === node) await delay(cluster.network.clockOf(node), ms);
      return answer?.(n) ?? `${amount} paid by ${node}`;
    }, concurrency === undefined ? {} : { concurrency });
    await cluster.start(node, { handlers: node === "client" ? [] : [pay] });
  };
  const { outage: struck = [] } = options;
  for (const node of nodes) if (!struck.includes(node)) await start(node);
  const outage = new StoreOutage(cluster.network);
  for (const node of struck) await start(node);
  return { cluster, runs, outage };
}

/** Returns a strategy that chooses the first of these nodes that is a candidate. */
function first(...ids: string[]): Route {
  return (candidates) => ids.map((id) => candidates.find((node) => node.id === id)).find((node) => node !== undefined);
}

function told(result: Result<unknown>): unknown {
  return result.ok ? result.value : result.error.code;
}

function schema<In, Out>(parse: (value: In) => Out): Schema<In, Out> {
  return {
    "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: parse(value as In) }) },
  };
}
