/** Tests of idempotent commands on virtual time: the store does not answer, or its answers get lost. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { BusyStore } from "../../../test/support/busy_store.ts";
import { Failing, handler, slowHandler } from "../../../test/support/claims.ts";
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { claimCluster, LEASE, loseNext } from "./claims_harness_suite.ts";

/** Each write of a claim's record: the bucket's method, what is written, and how the handler under the claim ends. */
const SWALLOWED = [
  ["create", "claim", "once"],
  ["update", "result", "once"],
  ["delete", "removal of a claim", new Failing("NO_TEA")],
] as const;

describe("IdempotencyStore when the store fails", () => {
  for (const [method, after] of [["create", "claim"], ["update", "result"]] as const) {
    it(`a ${after} whose acknowledgement is lost is found by its nonce, and nothing runs twice`, async () => {
      const { clock, nodes: [node, other] } = claimCluster(2);
      loseNext(method, node);
      const run = handler("once");
      assertEquals((await clock.until(node.guard("a", run))).value, "once");
      assertEquals((await clock.until(other.guard("a", handler()))).value, "once");
      assertEquals(run.fences.length, 1);
    });
  }

  for (const [method, what, ends] of SWALLOWED) {
    it(`a ${what} that an election swallows costs 2 s`, async () => {
      const { clock, nodes: [node, other] } = claimCluster(2);
      const noAnswer = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
      loseNext(method, node, () => delay(clock, 5_000).then(() => Promise.reject(noAnswer)));
      const run = handler(ends);
      const since = clock.monotonic();
      const { value, error } = await clock.until(node.guard("a", run));
      assertEquals(value ?? error?.code, ends instanceof Failing ? ends.code : ends);
      const took = clock.monotonic() - since;
      assert(took < 2_200, `${took} ms`);
      await clock.until(other.guard("a", handler("again")));
      assertEquals(run.fences.length, 1);
    });
  }

  it("an attempt that has given up leaves no claim, though the store writes it then (others waited for 20 s)", async () => {
    const { clock, nodes: [node, other] } = claimCluster(2);
    const noAnswer = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    const late: (() => Promise<unknown>)[] = [];
    const withhold = (make: () => Promise<unknown>) => {
      late.push(make);
      return Promise.reject(noAnswer);
    };
    loseNext("create", node, withhold, Infinity);
    const run = handler();
    const gaveUp = await clock.until(node.guard("a", run, { due: clock.monotonic() + 1_000 }));
    assertEquals(gaveUp.error?.code, "UNAVAILABLE");
    await clock.until(late[0]());
    const since = clock.monotonic();
    assertEquals((await clock.until(other.guard("a", handler("once")))).value, "once");
    assert(clock.monotonic() - since < 2_000, `it waited for ${clock.monotonic() - since} ms`);
    assertEquals(run.fences, []);
  });

  for (const thawed of ["reads its claim", "writes its claim again"]) {
    it(`a process frozen as it claims, whose sender gives up as it ${thawed}, leaves no claim (others waited for 20 s)`, async () => {
      const { clock, nodes: [node, other], wall } = claimCluster(2);
      loseNext("create", node, async (make) => {
        const revision = await make();
        wall.slept += 9_000;
        return revision;
      });
      const late = async (make: () => Promise<unknown>) => {
        await delay(clock, 1_000);
        return await make();
      };
      loseNext(thawed === "reads its claim" ? "get" : "update", node, late);
      const run = handler();
      const gaveUp = await clock.until(node.guard("a", run, { due: clock.monotonic() + 500 }));
      assertEquals(gaveUp.error?.code, "UNAVAILABLE");
      const since = clock.monotonic();
      assertEquals((await clock.until(other.guard("a", handler("once")))).value, "once");
      assert(clock.monotonic() - since < 4_000, `it waited for ${clock.monotonic() - since} ms`);
      assertEquals(run.fences, []);
    });
  }

  it("a store that answers each write after 3 s is slow, and fails nothing", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    for (const method of ["create", "update"] as const) {
      loseNext(method, node, async (make) => {
        const revision = await make();
        await delay(clock, 3_000);
        return revision;
      }, Infinity);
    }
    const run = handler("once");
    assertEquals((await clock.until(node.guard("a", run, { due: 60_000 }))).value, "once");
    assertEquals(run.fences.length, 1);
  });

  it("10,000 commands at once all run though the store takes 1 ms for each call (a quarter had a result)", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    const store = new BusyStore(node.connection.store, clock, 1);
    Object.assign(node.connection, { store });
    const due = clock.monotonic() + 25_000;
    const sends = Array.from({ length: 10_000 }, (_, i) => node.guard(`id-${i}`, handler("once"), { due }));
    const results = await clock.until(Promise.all(sends));
    assertEquals(results.filter(({ value }) => value === "once").length, 10_000);
    // a claim and a result each, and none of them again
    assertEquals(store.calls, 20_000);
  });

  it("of more commands than a store can take, as many run as it has time for; the others have not run", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    Object.assign(node.connection, { store: new BusyStore(node.connection.store, clock, 1) });
    const due = clock.monotonic() + 10_000;
    let runs = 0;
    const run = () => {
      runs++;
      return { ok: true, value: 1 } as const;
    };
    const sends = Array.from({ length: 20_000 }, (_, i) => node.guard(`id-${i}`, run, { due }));
    const results = await clock.until(Promise.all(sends));
    const by = Map.groupBy(results, ({ ok, error }) => ok ? "ok" : error!.code);
    const count = (code: string) => by.get(code)?.length ?? 0;
    assertGreater(count("ok"), 4_500);
    // those under way at the deadline
    assert(runs - count("ok") <= 200, `${runs} runs`);
    assertEquals(count("ok") + count("OUTCOME_UNKNOWN") + count("UNAVAILABLE"), 20_000);
    assert(count("OUTCOME_UNKNOWN") <= 200, `${count("OUTCOME_UNKNOWN")} unknown`);
  });

  it("a command whose turn has not come is told so before its deadline, in time for a sender at another node", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    Object.assign(node.connection, { store: new BusyStore(node.connection.store, clock, 10) });
    for (const [timeout, early] of [[1_000, 240], [10_000, 490]]) {
      const due = clock.monotonic() + timeout;
      const told: number[] = [];
      const sends = Array.from({ length: 3_000 }, async (_, i) => {
        const { error } = await node.guard(`id-${timeout}-${i}`, handler("once"), { due });
        if (error?.message.includes("the store is busy: its turn had not come") !== true) return;
        assertEquals(error.code, "UNAVAILABLE");
        told.push(due - clock.monotonic());
      });
      await clock.until(Promise.all(sends));
      assertGreater(told.length, 1_000);
      assertEquals(told.filter((before) => before < early || before > early + 20), [], `of ${timeout} ms`);
    }
  });

  it("senders that give up soon say nothing of the store: 64 claims are written at once afterwards", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    const store = new BusyStore(node.connection.store, clock, 400);
    Object.assign(node.connection, { store });
    for (let i = 0; i < 20; i++) {
      const { error } = await clock.until(node.guard(`short-${i}`, handler(), { due: clock.monotonic() + 50 }));
      assertEquals(error?.code, "UNAVAILABLE");
      await clock.advance(5_000);
    }
    const before = store.calls;
    for (let i = 0; i < 100; i++) void node.guard(`id-${i}`, handler("once"));
    await clock.advance(0);
    assertEquals(store.calls - before, 64);
    await clock.advance(120_000);
  });

  it("a holder keeps its claim, and its result, when the acknowledgement of a renewal is lost", async () => {
    const { clock, nodes: [node, other] } = claimCluster(2);
    loseNext("update", node);
    const slow = slowHandler();
    const result = node.guard("a", slow, { due: 100_000 });
    await clock.advance(40_000);
    slow.end("once");
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(other.guard("a", handler()))).value, "once");
  });

  it("a result whose acknowledgement is lost is written once while its claim has not expired", async () => {
    const { clock, network, nodes: [node] } = claimCluster(1);
    let written: unknown;
    loseNext("update", node, async (make) => {
      written = await make();
      throw new CatgaError("UNAVAILABLE", "the acknowledgement was lost", { retryable: true });
    });
    assertEquals((await clock.until(node.guard("a", handler("once")))).value, "once");
    const [{ revision }] = await clock.until((await network.store.open("claims")).entries(""));
    assertEquals(revision, written);
  });

  it("a failure is returned, and the id is free, when the acknowledgement of the claim's removal is lost", async () => {
    const { clock, nodes: [node, other] } = claimCluster(2);
    loseNext("delete", node);
    assertEquals((await clock.until(node.guard("a", handler(new Failing("NO_TEA"))))).error?.code, "NO_TEA");
    assertEquals((await clock.until(other.guard("a", handler("tea")))).value, "tea");
  });

  it("UNAVAILABLE: nothing runs while the store is away; afterwards the id is new", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    assertEquals((await clock.until(node.guard("before", handler(1)))).value, 1);
    node.connection.cut();
    const run = handler("tea");
    const { error } = await clock.until(node.guard("a", run));
    assertEquals(error?.code, "UNAVAILABLE");
    assertEquals(error?.retryable, true);
    assertEquals(run.fences, []);
    node.connection.restore();
    assertEquals((await clock.until(node.guard("a", run))).value, "tea");
  });

  it("UNAVAILABLE: the store cannot be opened; the next command opens it again", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    node.connection.cut();
    const run = handler("tea");
    assertEquals((await clock.until(node.guard("a", run))).error?.code, "UNAVAILABLE");
    node.connection.restore();
    assertEquals((await clock.until(node.guard("a", run))).value, "tea");
  });

  it("an attempt waits for a store that comes back before its deadline", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    await clock.until(node.guard("before", handler(1)));
    node.connection.cut();
    const waiting = node.guard("a", handler("tea"));
    await clock.advance(10_000);
    node.connection.restore();
    assertEquals((await clock.until(waiting)).value, "tea");
  });

  it("UNAVAILABLE: no answer until the deadline; the same node takes over a claim that was written all the same", async () => {
    const { clock, network, nodes: [node] } = claimCluster(1);
    await clock.until(node.guard("before", handler(1)));
    network.faults = { lostAck: 1 };
    const run = handler("tea");
    const { error } = await clock.until(node.guard("a", run, { due: clock.monotonic() + 4_000 }));
    assertEquals(error?.code, "UNAVAILABLE");
    assertEquals(run.fences, []);
    network.faults = {};
    // before the claim is removed, 1 s after its attempt gave up
    assertEquals((await clock.until(node.guard("a", run), 500)).value, "tea");
  });

  it("UNAVAILABLE: a claim that was written without an answer keeps other nodes waiting for one lease", async () => {
    const { clock, network, nodes: [node, other] } = claimCluster(2);
    await clock.until(node.guard("before", handler(1)));
    network.faults = { lostAck: 1 };
    await clock.until(node.guard("a", handler(), { due: clock.monotonic() + 4_000 }));
    network.faults = {};
    assertEquals((await clock.until(other.guard("a", handler("tea")), LEASE)).value, "tea");
  });

  it("a result is kept once the store is back", async () => {
    const { clock, nodes: [node, other] } = claimCluster(2);
    const slow = slowHandler();
    const result = node.guard("a", slow);
    await clock.advance(1_000);
    node.connection.cut();
    slow.end("once");
    await clock.advance(8_000);
    node.connection.restore();
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(other.guard("a", handler()))).value, "once");
  });

  it("OUTCOME_UNKNOWN: the store does not answer for a whole lease after the handler has run", async () => {
    const { clock, nodes: [node] } = claimCluster(1);
    const slow = slowHandler();
    const result = node.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    node.connection.cut();
    slow.end("once");
    assertEquals((await clock.until(result)).error?.code, "OUTCOME_UNKNOWN");
  });

  it("a result is not returned as recorded while the store removes it with the expired claim that it has replaced", async () => {
    let recorded = 0;
    for (let offset = 0; offset < 1_000; offset += 50) {
      const { clock, network, nodes: [frozen, other] } = claimCluster(2, { seed: offset });
      network.faults = { lateExpiry: 1, lateMarker: 1, delay: 5 };
      const slow = slowHandler();
      const result = frozen.guard("a", slow, { due: 100_000 });
      await clock.advance(1_000);
      frozen.connection.pause();
      await clock.advance(LEASE - 1_000 + offset);
      slow.end("once");
      frozen.connection.resume();
      const { ok, error } = await clock.until(result);
      if (!ok) {
        assertEquals(error.code, "OUTCOME_UNKNOWN");
        continue;
      }
      recorded++;
      await clock.advance(1_000);
      assertEquals((await clock.until(other.guard("a", handler("twice")))).value, "once", `after ${offset} ms`);
    }
    assertGreater(recorded, 0);
  });

  it("no handler begins under its own late claim while the store removes that with the expired one", async () => {
    let ran = 0;
    for (let offset = 0; offset < 1_000; offset += 50) {
      const { clock, network, nodes: [frozen, other] } = claimCluster(2, { seed: offset });
      network.faults = { lateExpiry: 1, lateMarker: 1, delay: 5 };
      loseNext("create", frozen, async (make) => {
        const revision = await make();
        frozen.connection.pause();
        clock.after(LEASE + offset, () => frozen.connection.resume());
        await new Promise<void>((resolve) => void frozen.connection.clock.after(1, resolve));
        return revision;
      });
      const [first, second] = [slowHandler(), handler("twice")];
      const result = frozen.guard("a", first, { due: 100_000 });
      await clock.advance(LEASE + offset + 500);
      const running = first.fences.length > 0;
      const waiting = other.guard("a", second, { due: 100_000 });
      await clock.advance(500);
      if (running) assertEquals(second.fences, [], `after ${offset} ms`);
      if (running) ran++;
      first.end("once");
      assertEquals((await clock.until(result)).ok, true);
      assertEquals((await clock.until(waiting)).ok, true);
    }
    assertGreater(ran, 0);
  });

  it("no handler begins under a claim taken over from a node that is gone while the store removes that claim", async () => {
    let ran = 0;
    for (let offset = 0; offset < 1_000; offset += 50) {
      const { clock, network, nodes: [dead, next, third], gone } = claimCluster(3, { seed: offset });
      network.faults = { lateExpiry: 1, lateMarker: 1, delay: 5 };
      void dead.guard("a", slowHandler(), { due: 100_000 });
      await clock.advance(1_000);
      dead.connection.kill();
      await clock.advance(LEASE - 1_000 + offset);
      gone.of = (endpoint) => Promise.resolve(endpoint.startsWith("n0."));
      const [first, second] = [slowHandler(), handler("twice")];
      const result = next.guard("a", first, { due: 100_000 });
      await clock.advance(500);
      const running = first.fences.length > 0;
      const waiting = third.guard("a", second, { due: 100_000 });
      await clock.advance(500);
      if (running) assertEquals(second.fences, [], `after ${offset} ms`);
      if (running) ran++;
      first.end("once");
      assertEquals((await clock.until(result)).ok, true);
      assertEquals((await clock.until(waiting)).ok, true);
    }
    assertGreater(ran, 0);
  });

  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`every result of an id is the same under cuts, freezes, late and lost answers (seed ${seed})`, async () => {
      const { clock, network, nodes, faults } = claimCluster(3, { seed });
      network.faults = {
        delay: 200,
        lostAck: 0.05,
        cut: { every: 20_000, lasts: 4_000 },
        pause: { every: 20_000, lasts: 25_000 },
      };
      const given = new Map<string, Set<unknown>>();
      let answers = 0;
      /** Sends the command with one id again and again, as a caller does, until there is a result. */
      async function send(id: string, i: number): Promise<void> {
        for (let attempt = 0; attempt < 20; attempt++) {
          const node = nodes[(i + attempt) % nodes.length];
          const own = node.connection.clock;
          const result = await node.guard(id, async (fence) => {
            await new Promise<void>((resolve) => void own.after(network.random() * 3_000, resolve));
            return { ok: true, value: `${i}.${attempt} at ${fence}` };
          }, { due: own.monotonic() + 20_000 });
          if (!result.ok) {
            assert(["UNAVAILABLE", "OUTCOME_UNKNOWN"].includes(result.error.code), result.error.message);
            continue;
          }
          answers++;
          const results = given.get(id) ?? new Set();
          given.set(id, results.add(result.value));
          return;
        }
      }
      const sends = Array.from({ length: 300 }, (_, i) => {
        return new Promise<void>((resolve) => void clock.after(network.random() * 60_000, resolve)).then(() =>
          send(`order ${i % 60}`, i)
        );
      });
      await clock.until(Promise.all(sends), 1_000_000);
      assertGreater(answers, 250);
      assertEquals(given.size, 60);
      assertEquals([...given].filter(([, results]) => results.size > 1), []);
      assertEquals(faults, []);
    });
  }
});
