/** Tests of the end of an app: what a drain waits for, what it aborts, and which calls fail afterwards. */
import { describe, it } from "node:test";
import { assertEquals, assertLess, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { catga } from "../catga.ts";
import { MemoryNetwork } from "../memory/network.ts";
import type { Context } from "../contract/calls/context.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { entity } from "../contract/declaration/entity.ts";
import type { Handler } from "../contract/declaration/handler.ts";
import type { Result } from "../contract/calls/result.ts";
import { workflow } from "../contract/declaration/workflow.ts";
import { CatgaError } from "../error.ts";
import { errorOf } from "../../test/support/error_of.ts";
import { eventually } from "../../test/support/eventually.ts";
import { localApp } from "../../test/support/local_app.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";

// the module is loaded before the tests: while a node loads it, virtual time would pass
import "../log/log.ts";
import "../log/running/worker.ts";

const Slow = query<void, string>("Slow");
const Work = command<void, string>("Work");
const Quick = query<void, string>("Quick");
const Shared = query<void, string>("Shared");
const Tick = event("Tick");

function watched<T>(promise: Promise<T>): { settled: boolean } {
  const state = { settled: false };
  promise.finally(() => state.settled = true).catch(() => {});
  return state;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

describe("drain", () => {
  it("ends the cache and the locks, alone too, where the cache went on: CLOSED for every method", async () => {
    for (const network of [undefined, new MemoryNetwork()]) {
      const app = await catga({ network, logger: QUIET });
      await app.cache.set("tea", 1);
      await app.drain();
      for (
        const call of [
          () => app.cache.get("tea"),
          () => app.cache.set("tea", 2),
          () => app.cache.delete("tea"),
          () => app.cache.getOrSet("milk", () => 3),
          () => app.cache.getOrSet("milk", () => 3, { once: true }),
          () => app.lock("tea"),
        ]
      ) {
        assertEquals((await assertRejects(call as () => Promise<unknown>, CatgaError)).code, "CLOSED");
      }
    }
  });

  it("waits for running handlers, and for what they still send", async () => {
    const { app, clock } = localApp({
      handlers: [
        Slow.handle(async (_, ctx) => {
          await new Promise<void>((resolve) => clock.after(1_000, resolve));
          const inner = await ctx.send(Work);
          return inner.ok ? inner.value : inner;
        }),
        Work.handle(async () => {
          await new Promise<void>((resolve) => clock.after(1_000, resolve));
          return "done";
        }),
      ],
    });
    const result = app.send(Slow);
    const drained = app.drain();
    const state = watched(drained);
    await clock.advance(1_990);
    assertEquals(state.settled, false);
    await clock.advance(10);
    await drained;
    assertEquals(await result, { ok: true, value: "done" });
  });

  it("tells handlers and the program by ctx.draining and app.draining, before their signals abort", async () => {
    const seen: string[] = [];
    const { app, clock } = localApp({
      handlers: Slow.handle(async (_, ctx) => {
        await new Promise((resolve) => ctx.draining.addEventListener("abort", resolve, { once: true }));
        seen.push(ctx.draining.reason.code, `${ctx.signal.aborted}`, `${ctx.draining === app.draining}`);
        return "";
      }),
    });
    const result = app.send(Slow);
    await clock.advance(10);
    assertEquals(app.draining.aborted, false);
    const begun = clock.monotonic();
    await clock.until(app.drain());
    assertEquals(seen, ["DRAINING", "false", "true"]);
    assertEquals([(await result).ok, app.draining.aborted], [true, true]);
    assertEquals(clock.monotonic() - begun < 100, true);
  });

  it("names what held it up when its patience is over", async () => {
    const { app, clock, seen } = localApp({
      handlers: [
        Slow.handle(() => new Promise<never>(() => {})),
        Work.handle(async (_, ctx) => (await ctx.send(Slow)).error?.code ?? ""),
      ],
    });
    const sent = [app.send(Slow), app.send(Slow, undefined, { timeout: 50 }), app.send(Work)];
    await clock.until(app.drain({ timeout: 1_000 }));
    await Promise.all(sent);
    const held = seen.filter(({ type }) => type === "held-up");
    assertEquals(held, [{ type: "held-up", ms: 1_000, by: ["query Slow (3)", "command Work (1)"] }]);
  });

  it("names the workflow whose step held it up (it was one of some sends)", async () => {
    const Export = workflow<void>("Export");
    const begun = Promise.withResolvers<void>();
    const handlers = Export.handle(async (flow) => {
      await flow.step("upload", () => {
        begun.resolve();
        return new Promise<never>(() => {});
      });
    });
    const lines: string[] = [];
    const app = await catga({ handlers, logger: { ...QUIET, warn: (line: string) => void lines.push(line) } });
    await app.start(Export);
    await begun.promise;
    await app.drain({ timeout: 1 });
    const held = lines.find((line) => line.includes("the drain goes on"));
    assertMatch(held ?? "", / workflow Export \(1\)/); // the line may name other work, too
  });

  it("waits for the handlers of published events", async () => {
    let got = 0;
    const { app, clock } = localApp({
      handlers: Tick.on(async () => {
        await new Promise<void>((resolve) => clock.after(100, resolve));
        got++;
      }),
    });
    await app.publish(Tick);
    const drained = app.drain();
    const state = watched(drained);
    await clock.advance(50);
    assertEquals([state.settled, got], [false, 0]);
    await clock.advance(50);
    await drained;
    assertEquals(got, 1);
  });

  it("waits on while a caller sends again as soon as its last send has ended", async () => {
    // regression: when the first send had ended and the second one had not begun, a drain once took the node as idle,
    // and aborted the second send with 30 s left
    const { app, clock } = localApp({
      handlers: Slow.handle(async () => {
        await new Promise<void>((resolve) => clock.after(100, resolve));
        return "done";
      }),
    });
    const both = (async () => [await app.send(Slow), await app.send(Slow)])();
    const drained = app.drain();
    await clock.advance(200);
    assertEquals(await both, [{ ok: true, value: "done" }, { ok: true, value: "done" }]);
    await drained;
  });

  it("at its timeout signals abort with CLOSED; a query is CLOSED, a command OUTCOME_UNKNOWN", async () => {
    const reasons: CatgaError[] = [];
    const untilAborted = (signal: AbortSignal) =>
      new Promise<string>((_, reject) =>
        signal.addEventListener("abort", () => {
          reasons.push(signal.reason);
          reject(signal.reason);
        })
      );
    const { app, clock } = localApp({
      handlers: [
        Slow.handle((_, { signal }) => untilAborted(signal)),
        Work.handle((_, { signal }) => untilAborted(signal)),
      ],
    });
    const results = [app.send(Slow), app.send(Work)];
    const drained = app.drain({ timeout: 100 });
    await clock.advance(90);
    assertEquals(reasons, []);
    await clock.advance(10);
    await drained;
    assertEquals(reasons.map(({ code, message }) => [code, message]), [
      ["CLOSED", "node here is stopping"],
      ["CLOSED", "node here is stopping"],
    ]);
    assertEquals((await Promise.all(results)).map((result) => errorOf(result).code), ["CLOSED", "OUTCOME_UNKNOWN"]);
  });

  it("at its timeout events whose handlers have not begun are dropped, which is observed", async () => {
    let began = 0;
    const { app, clock, seen } = localApp({ handlers: Tick.on(() => began++) });
    await app.publish(Tick, undefined, { id: "t1" });
    const drained = app.drain({ timeout: 0 });
    await clock.advance(500);
    await drained;
    assertEquals([began, seen.map((one) => one.type === "fault" ? one.during : one.type)], [0, ["event Tick (t1)"]]);
  });

  it("handlers that ignore their signal delay it by half a second at most", async () => {
    const { app, clock } = localApp({ handlers: Slow.handle(() => new Promise(() => {})) });
    const result = app.send(Slow);
    const drained = app.drain({ timeout: 0 });
    const state = watched(drained);
    await clock.advance(490);
    assertEquals([errorOf(await result).code, state.settled], ["CLOSED", false]);
    await clock.advance(10);
    await drained;
  });

  it("leaves no timer of messages that arrive while it ends, whose handlers never do", async () => {
    for (const timeout of [0, 5]) {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1, faults: { delay: 8 } });
      const never = () => new Promise<never>(() => {});
      const handlers = [Slow.handle(never), Tick.on(never)];
      const app = await clock.until(catga({ network, id: "a", handlers, logger: QUIET }));
      const other = await clock.until(catga({ network, id: "b", logger: QUIET }));
      await clock.until(other.send(Quick, undefined, { timeout: 1_000 }));
      const drained = watched(app.drain({ timeout }));
      while (!drained.settled) {
        other.send(Slow);
        other.publish(Tick);
        await clock.advance(1);
      }
      await clock.until(other.drain({ timeout: 100 }));
      await clock.advance(1);
      assertEquals(clock.timers, 0);
    }
  });

  it("moves commands that arrive behind its timeout to other nodes (they ran, and were OUTCOME_UNKNOWN)", async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed, faults: { delay: 50 } });
      const start = (id: string, handlers: Handler[]) => clock.until(catga({ network, id, handlers, logger: QUIET }));
      const app = await start("a", [Work.handle(() => new Promise<never>(() => {}))]);
      const other = await start("b", [Work.handle(() => "at b")]);
      const sender = await start("c", []);
      await clock.advance(1_000);
      const drained = watched(app.drain({ timeout: 0 }));
      const sent: Promise<Result<string>>[] = [];
      while (!drained.settled) {
        sent.push(sender.send(Work));
        await clock.advance(1);
      }
      const results = await clock.until(Promise.all(sent));
      assertEquals(results.filter(({ value }) => value !== "at b"), []);
      await clock.until(Promise.all([other, sender].map((each) => each.drain())));
    }
  });

  it("at its timeout, what may run again goes on at another node, though its handler passes the abort on", async () => {
    // A careful handler was worse off than one that hangs: a remote query was CLOSED, the others OUTCOME_UNKNOWN.
    const Once = command<void, string>("Once", { idempotent: true });
    const Add = command<{ id: string }, string>("Add", { key: ({ id }) => id });
    const Counter = entity("Counter", { initial: () => 0 });
    const Added = Counter.event("Added", (count) => count + 1);
    const inner = query<void, string>("Inner");
    const ways: Record<string, (ctx: Context) => Promise<unknown>> = {
      "its reason": ({ signal }) => aborted(signal).then(() => Promise.reject(signal.reason)),
      "an error of its own": ({ signal }) => aborted(signal).then(() => Promise.reject(new Error("aborted"))),
      "the failure of its send": (ctx) => aborted(ctx.signal).then(() => ctx.send(inner)),
      "never": () => new Promise(() => {}),
    };
    for (const [way, ends] of Object.entries(ways)) {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const handlers = (id: string) => {
        const run = (_: unknown, ctx: Context) => id === "a" ? ends(ctx) as Promise<string> : `at ${id}`;
        const add = Counter.handle(Add, async (counter, payload, ctx) => {
          const value = await run(payload, ctx);
          counter.emit(Added);
          return value;
        });
        return [Slow.handle(run), Work.handle(run), Once.handle(run), inner.handle(() => "inner"), add];
      };
      const start = (id: string, handled = handlers(id)) =>
        clock.until(catga({ network, id, handlers: handled, logger: QUIET }));
      const app = await start("a");
      const sender = await start("c", []);
      const sent = [sender.send(Slow), sender.send(Once), sender.send(Add, { id: "1" })];
      const plain = sender.send(Work);
      await clock.advance(100);
      const other = await start("b");
      await clock.until(app.drain({ timeout: 50 }));
      const results = await clock.until(Promise.all(sent));
      assertEquals(results.map((result) => result.ok ? result.value : result.error.code), Array(3).fill("at b"), way);
      if (way !== "an error of its own") assertEquals(errorOf(await clock.until(plain)).code, "OUTCOME_UNKNOWN", way);
      assertEquals((await clock.until(other.load(Counter, "1"))).state, 1);
      await clock.until(Promise.all([other, sender].map((each) => each.drain())));
    }
  });

  it("a command whose handler passes on that the node refuses sends is OUTCOME_UNKNOWN (CLOSED: as if it had not run)", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, faults: { delay: 50 } });
    const start = (id: string, handlers: Handler[]) => clock.until(catga({ network, id, handlers, logger: QUIET }));
    const seen: string[] = [];
    const app = await start("a", [
      Work.handle(async (_, ctx) => {
        for (;;) {
          const { ok, error } = await ctx.send(Quick);
          if (!ok && error.message.includes("was not sent")) {
            seen.push(error.code);
            throw error;
          }
          await new Promise<void>((resolve) => clock.after(10, resolve));
        }
      }),
      Quick.handle(() => "quick"),
    ]);
    const sender = await start("c", []);
    await clock.advance(1_000);
    const sent = sender.send(Work);
    await clock.advance(200);
    await clock.until(app.drain({ timeout: 50 }));
    const { code } = errorOf(await clock.until(sent));
    assertEquals([seen, code], [["CLOSED"], "OUTCOME_UNKNOWN"]);
    await clock.until(sender.drain());
  });

  it("at its timeout, a durable event goes on elsewhere when its handler has ended, if that failed (it ran beside)", async () => {
    const Kept = event<number>("Kept", { durable: true, key: () => "key" });
    for (const succeeds of [true, false]) {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const steps: string[] = [];
      const start = async (id: string) => {
        const handler = Kept.on(async (_, { signal }) => {
          steps.push(`${id} begins`);
          if (id === "leader") return;
          await aborted(signal);
          await new Promise<void>((resolve) => clock.after(100, resolve));
          steps.push(`${id} ends`);
          if (!succeeds) throw signal.reason;
        }, { name: "kept", from: "start" });
        const app = await clock.until(catga({ network, id, handlers: handler, logger: QUIET }));
        await clock.advance(3_000); // the first one leads
        return app;
      };
      const leader = await start("leader");
      let leaving = await start("leaving-0");
      for (let i = 1; !steps.some((step) => step.startsWith("leaving")); i++) {
        await clock.until(leaving.drain());
        leaving = await start(`leaving-${i}`);
        steps.length = 0;
        await clock.until(leader.publish(Kept, i));
        await clock.advance(1_000);
      }
      await clock.until(leaving.drain({ timeout: 200 }));
      await clock.advance(5_000);
      assertEquals(steps.map((step) => step.replace(/-\d+/, "")), [
        ...["leaving begins", "leaving ends"],
        ...(succeeds ? [] : ["leader begins"]),
      ]);
      await clock.until(leader.drain());
    }
  });

  for (const [how, timeout] of [["ends in time", 30_000], ["is aborted", 400]] as const) {
    it(`a durable event that the draining leader runs begins nowhere else before its handler ends, which ${how}`, async () => {
      const Kept = event<number>("Kept", { durable: true, key: (n) => `${n}` });
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const steps: string[] = [];
      const later = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
      const start = async (id: string) => {
        const handler = Kept.on(async (n, { signal, attempt }) => {
          steps.push(`${id} begins ${n}, attempt ${attempt}`);
          if (id === "other") return;
          await Promise.race([aborted(signal), later(9_000)]);
          if (signal.aborted) await later(450);
          steps.push(`${id} ends ${n}`);
          signal.throwIfAborted();
        }, { name: "kept", from: "start" });
        return await clock.until(catga({ network, id, handlers: handler, logger: QUIET }));
      };
      const leader = await start("leader");
      await clock.advance(3_000);
      await clock.until(leader.publish(Kept, 1));
      await clock.advance(100);
      const other = await start("other");
      const drained = leader.drain({ timeout });
      await clock.advance(50);
      await clock.until(other.publish(Kept, 2));
      await clock.until(drained);
      await clock.advance(3_000);
      assertEquals(steps, [
        ...["leader begins 1, attempt 1", "other begins 2, attempt 1", "leader ends 1"],
        ...(how === "is aborted" ? ["other begins 1, attempt 1"] : []),
      ]);
      await clock.until(other.drain());
    });
  }

  for (const first of ["leader", "worker", "together"] as const) {
    it(`a durable event that runs at a node which drains begins nowhere else when its leader drains, too: ${first}`, async () => {
      const Kept = event<number>("Kept", { durable: true, key: (n) => `${n}` });
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const steps: string[] = [];
      const later = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
      let worker = "";
      const start = async (id: string) => {
        const handler = Kept.on(async (n, { attempt }) => {
          steps.push(`${id} begins ${n}, attempt ${attempt}`);
          if (id === "leader" || worker !== "") return;
          worker = id;
          await later(9_000);
          steps.push(`${id} ends ${n}`);
        }, { name: "kept", from: "start" });
        return await clock.until(catga({ network, id, handlers: handler, logger: QUIET }));
      };
      const leader = await start("leader");
      await clock.advance(3_000);
      const [b, c] = [await start("b"), await start("c")];
      await clock.advance(3_000);
      for (let n = 0; worker === ""; n++) {
        await clock.until(leader.publish(Kept, n));
        await clock.advance(50);
      }
      const [drained, left] = worker === "b" ? [b, c] : [c, b];
      const drains: Promise<void>[] = [];
      const apps = first === "worker" ? [drained, leader] : [leader, drained];
      for (const app of apps) {
        drains.push(app.drain({ timeout: 30_000 }));
        if (first !== "together") await clock.advance(1_000);
      }
      await clock.advance(15_000);
      await clock.until(Promise.all(drains));
      const n = steps.findIndex((s) => s.startsWith(worker));
      assertEquals(steps.slice(n), [steps[n], steps[n].replace(/begins (.*), .*/, "ends $1")]);
      await clock.until(left.drain());
    });
  }

  it("gives back its places before locks within its timeout, however slow the store (500 ms were all it had)", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, faults: { delay: 300 } });
    const start = (id: string) => clock.until(catga({ network, id, logger: QUIET }));
    const [holder, leaving, next] = [await start("a"), await start("b"), await start("c")];
    const keys = Array.from({ length: 50 }, (_, i) => `key ${i}`);
    const ttl = 60_000;
    const held = await clock.until(Promise.all(keys.map((key) => holder.lock(key, { ttl }))));
    const left = keys.map((key) => assertRejects(() => leaving.lock(key, { ttl, timeout: 60_000 }), CatgaError));
    await clock.advance(5_000);
    const taken = keys.map((key) => next.lock(key, { ttl, timeout: 60_000 }));
    await clock.advance(5_000);
    const before = clock.monotonic();
    const drained = leaving.drain();
    await clock.advance(550);
    const released = held.map((lock) => lock.release());
    await clock.until(Promise.all([...taken, ...released, ...left, drained]));
    assertLess(clock.monotonic() - before, 5_000);
    await clock.until(Promise.all([holder, next].map((app) => app.drain())));
  });

  it("is idempotent: later calls wait for the first, whatever their options", async () => {
    let released = 0;
    const { app, clock } = localApp({
      handlers: Quick.handle(() => ""),
      release: () => Promise.resolve(void released++),
    });
    const first = app.drain();
    assertStrictEquals(app.drain({ timeout: 0 }), first);
    assertStrictEquals(app[Symbol.asyncDispose](), first);
    await Promise.all([first, clock.advance(0)]);
    await app.drain();
    assertEquals(released, 1);
  });

  it("an invalid timeout is refused before anything ends", async () => {
    const { app } = localApp({ handlers: Quick.handle(() => "yes") });
    for (
      const [timeout, message] of [
        [-1, "drain: timeout must be from 0 to 2147483647 ms; got -1"],
        ["1s", 'drain: timeout must be a number of ms; got "1s"'],
      ] as const
    ) {
      assertEquals(assertThrows(() => app.drain({ timeout: timeout as number }), Error).message, message);
    }
    assertEquals(await app.send(Quick), { ok: true, value: "yes" });
  });

  it("afterwards every send, publish and broadcast is CLOSED, and nothing runs", async () => {
    let ran = 0;
    const { app, clock } = localApp({ handlers: [Quick.handle(() => `${ran++}`), Tick.on(() => ran++)] });
    await app.drain();
    const { error } = await app.send(Quick);
    assertEquals([error?.code, error?.message], ["CLOSED", "query Quick was not sent: node here has stopped"]);
    assertEquals(errorOf(await app.send(Quick, undefined, { id: "x" })).code, "CLOSED");
    assertEquals(errorOf(await app.publish(Tick)).code, "CLOSED");
    assertEquals((await app.broadcast(Quick)).map(({ node, result }) => [node, errorOf(result).code]), [[
      "here",
      "CLOSED",
    ]]);
    await clock.advance(0);
    assertEquals([ran, app.nodes()], [0, []]);
  });

  for (const cluster of [false, true]) {
    it(`a draining node is not among its own nodes, ${cluster ? "in a cluster" : "alone"}`, async () => {
      const leaving = Promise.withResolvers<void>();
      const handlers = Slow.handle(() => leaving.promise.then(() => "done"));
      const app = await catga({ handlers, ...(cluster ? { network: new MemoryNetwork() } : {}) });
      assertEquals(app.nodes().length, 1);
      const result = app.send(Slow);
      const drained = app.drain();
      await eventually("the leave", () => app.nodes().length === 0);
      assertEquals([app.health().status, app.health().nodes], ["draining", 0]);
      leaving.resolve();
      assertEquals((await result).value, "done");
      await drained;
    });
  }

  it("in a cluster, running handlers may still send to handlers that only this node has, or that they name it for", async () => {
    // regression: these sends once got NO_HANDLER, because the node had removed itself from its own list of nodes
    const leaving = Promise.withResolvers<void>();
    const handlers = [
      Slow.handle(async (_, ctx) => {
        await leaving.promise;
        const results = [await ctx.send(Quick), await ctx.send(Quick, undefined, { node: "leaving" })];
        // both nodes handle `Shared`
        results.push(await ctx.send(Shared, undefined, { node: "leaving" }), await ctx.send(Shared));
        return results.map(({ value }) => value).join();
      }),
      Quick.handle((_, { node }) => `at ${node}`),
      Shared.handle((_, { node }) => `at ${node}`),
    ];
    const network = new MemoryNetwork();
    await using other = await catga({ network, id: "other", handlers: Shared.handle((_, { node }) => `at ${node}`) });
    const app = await catga({ network, id: "leaving", handlers });
    const result = app.send(Slow);
    const drained = app.drain();
    await eventually("the leave", () => other.nodes().length === 1);
    leaving.resolve();
    assertEquals(await result, { ok: true, value: "at leaving,at leaving,at leaving,at other" });
    await drained;
  });

  it("await using drains", async () => {
    let released = false;
    {
      await using app = localApp({ release: () => Promise.resolve(void (released = true)) }).app;
      assertEquals(app.self.id, "here");
    }
    assertEquals(released, true);
  });

  it("closed resolves when the app has stopped", async () => {
    const { app } = localApp();
    const state = watched(app.closed);
    await Promise.resolve();
    assertEquals(state.settled, false);
    await app.drain();
    assertEquals(await app.closed, undefined);
  });

  it("closed rejects with the error when the app had to stop by itself, and the error is observed", async () => {
    const { app, inside, seen } = localApp();
    const error = new CatgaError("CLOSED", "the network connection was closed");
    inside.fail(error);
    assertStrictEquals(await assertRejects(() => app.closed), error);
    await app.drain();
    assertEquals(seen, [{ type: "fault", during: "running this node", error }]);
  });

  it("drain and closed reject when the connection cannot be closed", async () => {
    // regression: `closed` once never settled if closing the connection failed
    const error = new Error("the socket is stuck");
    const { app } = localApp({ release: () => Promise.reject(error) });
    assertStrictEquals(await assertRejects(() => app.drain()), error);
    assertStrictEquals(await assertRejects(() => app.closed), error);
  });
});

describe("an app whose store is out of reach", () => {
  const Placed = event<number>("Placed", { durable: true });
  const options = { handlers: Placed.on(() => {}, { name: "billing" }), logger: QUIET, heartbeat: 3_000 };

  it("leaves no timer when it ends while it takes the lead of a subscription", async () => {
    for (let ms = 4_200; ms < 5_000; ms += 200) {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      await clock.until(catga({ network, id: "a", ...options }));
      await clock.advance(1_000);
      const app = await clock.until(catga({ network, id: "b", ...options }));
      await clock.advance(1_000);
      network.faults = { delay: 400 };
      network.kill("a");
      await clock.advance(ms);
      network.cut("b");
      await clock.until(app.drain({ timeout: 1_000 }));
      await clock.advance(100_000);
      assertEquals(clock.timers, 0);
    }
  });

  it("leaves no timer when it cannot start", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, faults: { lostAck: 1 } });
    await assertRejects(() => clock.until(catga({ network, id: "a", ...options })), CatgaError);
    await clock.advance(10_000);
    assertEquals(clock.timers, 0);
  });

  it("is soon gone when it cannot start, and logs no error beside the one that its caller gets", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const first = await clock.until(catga({ network, id: "a", logger: QUIET }));
    const errors: string[] = [];
    const logger = { ...QUIET, error: (message: string) => void errors.push(message) };
    const starting = clock.until(catga({ network, id: "b", ...options, logger }));
    for await (const { node } of first.watchNodes()) if (node.id === "b") break;
    network.faults = { lostAck: 1 };
    await assertRejects(() => starting, CatgaError);
    network.faults = {};
    await clock.advance(1_000);
    assertEquals([first.nodes().map(({ id }) => id), errors], [["a"], []]);
    await clock.until(first.drain());
  });
});

describe("an app whose link to NATS carries nothing", await requireNatsServer(), () => {
  it("is drained soon after its timeout, not when the link is noticed to be dead", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    // the client sends no pings, which would show after 15 s that the connection is dead, and so end the subscriptions
    const nats = { servers: proxy.url, pingInterval: 600_000 };
    const app = await catga({ nats, handlers: Quick.handle(() => ""), logger: QUIET });
    proxy.freeze();
    const state = watched(app.drain({ timeout: 0 }));
    await eventually("the end of the drain", () => state.settled);
    await app.closed;
    assertEquals(app.health().status, "stopped");
  });
});
