/** Idempotent commands when things go wrong, on virtual time. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import type { Clock } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { type MemoryConnection, MemoryNetwork, type MemoryNetworkOptions } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Result } from "../../contract/result.ts";
import type { Claimant } from "../../dispatch/shared_state.ts";
import { claimant, Failing, handler, slowHandler } from "../../../test/support/claims.ts";
import { IdempotencyStore } from "./idempotency_store.ts";

/** How long a claim outlives its holder, in ms. */
const LEASE = 20_000;
/** How often it is renewed, in ms. */
const RENEWAL = 3_000;
/** How long its holder may stand still, in ms. */
const PAUSE = 15_000;

interface Node {
  readonly connection: MemoryConnection;
  readonly store: IdempotencyStore;
  /** Why the runs of this node were to stop. */
  readonly lost: CatgaError[];
  guard(
    id: string,
    run: (fence: number, check: () => void) => Result<unknown> | Promise<Result<unknown>>,
    differs?: Partial<Claimant>,
  ): Promise<Result<unknown>>;
}

/** Nodes on one network, whose buckets may be tampered with. `slept`: how far the wall clock of the first one was put on. */
function cluster(size: number, options: MemoryNetworkOptions = {}) {
  const clock = new VirtualClock();
  const wall = { slept: 0 };
  const gone = { of: (_: string): Promise<boolean> => Promise.resolve(false) };
  const network = new MemoryNetwork({ clock, seed: 7, ...options });
  const faults: unknown[] = [];
  const nodes = Array.from({ length: size }, (_, i): Node => {
    const connection = network.connect();
    const own: Clock = i > 0 ? connection.clock : {
      now: () => connection.clock.now() + wall.slept,
      monotonic: () => connection.clock.monotonic(),
      after: (ms, callback, background) => connection.clock.after(ms, callback, background),
      soon: (callback) => connection.clock.soon(callback),
    };
    const lost: CatgaError[] = [];
    const store = new IdempotencyStore({
      bucket: () => connection.store.open("claims"),
      clock: own,
      random: network.random,
      endpoint: `n${i}.nonce`,
      liveness: { gone: (endpoint) => gone.of(endpoint) },
      observer: (seen) => faults.push(seen),
    });
    const telling = { lost: (reason: CatgaError) => void lost.push(reason) };
    const guard: Node["guard"] = (id, run, differs) => store.guard(claimant(own, id, { ...telling, ...differs }), run);
    return { connection, store, lost, guard };
  });
  return { clock, network, nodes, faults, wall, gone };
}

/** Lets no answer come back from the next call of a method, as when it gets lost; or what `instead` makes of it. */
function loseNext(
  method: "create" | "update" | "delete",
  { connection }: Node,
  instead: (answer: unknown) => Promise<unknown> = () =>
    Promise.reject(new CatgaError("UNAVAILABLE", "the acknowledgement was lost", { retryable: true })),
): void {
  const { store } = connection;
  const open = store.open.bind(store);
  Object.assign(connection, {
    store: {
      async open(name: string) {
        const bucket = await open(name);
        let lost = false;
        return new Proxy(bucket, {
          get(target, wanted: keyof Bucket) {
            const member = target[wanted];
            if (typeof member !== "function") return member;
            return async (...args: unknown[]) => {
              // called with what the method was called with
              const answer = await (member as (...args: unknown[]) => Promise<unknown>).apply(target, args);
              if (lost || wanted !== method) return answer;
              lost = true;
              return await instead(answer);
            };
          },
        });
      },
    },
  });
}

describe("IdempotencyStore when things go wrong", () => {
  it("a holder frozen past its lease cannot keep its result: it returns the one that another attempt recorded", async () => {
    const { clock, nodes: [frozen, other] } = cluster(2);
    const slow = slowHandler();
    const late = frozen.guard("a", slow, { due: 60_000 });
    await clock.advance(1_000);
    frozen.connection.pause();
    await clock.advance(LEASE + 100);
    const next = handler("second");
    assertEquals((await clock.until(other.guard("a", next))).value, "second");
    slow.end("first");
    frozen.connection.resume();
    assertEquals((await clock.until(late)).value, "second");
    assertEquals((await clock.until(other.guard("a", handler()))).value, "second");
    assertGreater(next.fences[0], slow.fences[0]);
  });

  it("a holder frozen past its lease waits for the attempt that runs now", async () => {
    const { clock, nodes: [frozen, other] } = cluster(2);
    const [first, second] = [slowHandler(), slowHandler()];
    const late = frozen.guard("a", first, { due: 60_000 });
    await clock.advance(1_000);
    frozen.connection.pause();
    await clock.advance(LEASE + 100);
    const result = other.guard("a", second);
    first.end("first");
    frozen.connection.resume();
    await clock.advance(1_000);
    second.end("second");
    assertEquals((await clock.until(late)).value, "second");
    assertEquals((await clock.until(result)).value, "second");
  });

  it("OUTCOME_UNKNOWN: a holder frozen past its lease, and nobody has recorded a result; the id may be sent again", async () => {
    const { clock, nodes: [frozen, other] } = cluster(2);
    const slow = slowHandler();
    const late = frozen.guard("a", slow, { due: 60_000 });
    await clock.advance(1_000);
    frozen.connection.pause();
    await clock.advance(LEASE + 100);
    slow.end("first");
    frozen.connection.resume();
    const { error } = await clock.until(late);
    assertEquals([error?.code, error?.retryable], ["OUTCOME_UNKNOWN", true]);
    assertEquals((await clock.until(other.guard("a", handler("second")))).value, "second");
  });

  it("a claim that came to a frozen process too late runs nothing: it returns what another attempt recorded", async () => {
    const { clock, network, nodes: [frozen, other] } = cluster(2);
    await clock.until(frozen.guard("before", handler(1)));
    const run = handler("first");
    const bucket = await network.store.open("claims");
    const watching = new AbortController();
    const onChange = ({ key }: { key: string }) => {
      if (!key.endsWith("/a")) return;
      // its acknowledgement is on its way
      frozen.connection.pause();
      watching.abort();
    };
    await bucket.watch("", onChange, { signal: watching.signal });
    const late = frozen.guard("a", run, { due: 100_000 });
    await clock.advance(LEASE + 100);
    assertEquals((await clock.until(other.guard("a", handler("second")))).value, "second");
    frozen.connection.resume();
    assertEquals((await clock.until(late)).value, "second");
    assertEquals(run.fences, []);
  });

  it("a claim whose acknowledgement took longer than 5 s is written again before its handler begins", async () => {
    const { clock, nodes: [slow, other] } = cluster(2);
    await clock.until(slow.guard("before", handler(1)));
    let created = 0;
    loseNext("create", slow, async (revision) => {
      created = revision as number;
      // it comes to a process that stands still
      slow.connection.pause();
      clock.after(19_000, () => slow.connection.resume());
      await new Promise<void>((resolve) => void slow.connection.clock.after(1, resolve));
      return revision;
    });
    const run = slowHandler();
    const result = slow.guard("a", run, { due: 100_000 });
    await clock.advance(19_500);
    assertGreater(run.fences[0], created);
    slow.connection.pause();
    await clock.advance(PAUSE);
    const next = handler();
    const waiting = other.guard("a", next, { due: 100_000 });
    slow.connection.resume();
    run.end("once");
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(waiting)).value, "once");
    assertEquals(next.fences, []);
  });

  it("a pause of 15 s, whenever it begins, frees no claim", async () => {
    const ran: number[] = [];
    for (let offset = 0; offset <= RENEWAL; offset += 100) {
      const { clock, nodes: [paused, other] } = cluster(2);
      const slow = slowHandler();
      const result = paused.guard("a", slow, { due: 100_000 });
      await clock.advance(1 + offset);
      const next = handler("twice");
      const waiting = other.guard("a", next, { due: 100_000 });
      paused.connection.pause();
      await clock.advance(PAUSE);
      paused.connection.resume();
      await clock.advance(5_000);
      slow.end("once");
      if (next.fences.length > 0) ran.push(offset);
      assertEquals((await clock.until(result)).value, "once");
      assertEquals((await clock.until(waiting)).value, "once");
      assertEquals(paused.lost, []);
    }
    assertEquals(ran, []);
  });

  it("a cut of 4 s, whenever it begins, frees no claim, and stops no run", async () => {
    for (let offset = 0; offset <= RENEWAL; offset += 250) {
      const { clock, nodes: [away, other] } = cluster(2);
      const slow = slowHandler();
      const result = away.guard("a", slow, { due: 100_000 });
      await clock.advance(1 + offset);
      const next = handler("twice");
      const waiting = other.guard("a", next, { due: 100_000 });
      away.connection.cut();
      await clock.advance(4_000);
      away.connection.restore();
      await clock.advance(LEASE);
      slow.end("once");
      assertEquals((await clock.until(result)).value, "once");
      assertEquals((await clock.until(waiting)).value, "once");
      assertEquals([next.fences, away.lost], [[], []], `cut at ${offset} ms`);
    }
  });

  it("a claim is renewed within 1 s of the end of a cut", async () => {
    const { clock, nodes: [away, other] } = cluster(2);
    const slow = slowHandler();
    const result = away.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    const next = handler("twice");
    const waiting = other.guard("a", next, { due: 100_000 });
    away.connection.cut();
    await clock.advance(17_500);
    away.connection.restore();
    await clock.advance(1_000);
    away.connection.pause();
    await clock.advance(PAUSE);
    away.connection.resume();
    slow.end("once");
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(waiting)).value, "once");
    assertEquals([next.fences, away.lost], [[], []]);
  });

  it("a run is told when its lease may have ended, 1 s before it does in the store: after a cut", async () => {
    const { clock, nodes: [away, other] } = cluster(2);
    const slow = slowHandler();
    const result = away.guard("a", slow, { due: 100_000 });
    const next = slowHandler();
    await clock.advance(100);
    const waiting = other.guard("a", next, { due: 100_000 });
    away.connection.cut();
    await clock.advance(LEASE - 1_200);
    assertEquals(away.lost, []);
    await clock.advance(200);
    assertEquals([away.lost.map(({ code, retryable }) => [code, retryable]), next.fences], [
      [["OUTCOME_UNKNOWN", true]],
      [],
    ]);
    await clock.advance(2_000);
    assertEquals(next.fences.length, 1);
    away.connection.restore();
    slow.end("first");
    next.end("second");
    assertEquals((await clock.until(result)).value, "second");
    assertEquals((await clock.until(waiting)).value, "second");
    assertEquals(away.lost.length, 1);
  });

  it("a run is told by the first timer after a pause that was longer than its lease", async () => {
    const { clock, nodes: [paused] } = cluster(1);
    const slow = slowHandler();
    void paused.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    paused.connection.pause();
    await clock.advance(LEASE);
    paused.connection.resume();
    await clock.advance(0);
    assertEquals(paused.lost.map(({ code }) => code), ["OUTCOME_UNKNOWN"]);
  });

  it("a run that looks after such a pause is told before any timer has run", async () => {
    const { clock, network, nodes: [paused] } = cluster(1);
    const looks: number[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    void paused.guard("a", async (_, check) => {
      await promise; // nothing that the pause holds back
      check();
      looks.push(paused.lost.length);
      return { ok: true, value: 1 };
    }, { due: 100_000 });
    await clock.advance(1_000);
    paused.connection.pause();
    network.clock.after(LEASE, resolve);
    await clock.advance(LEASE);
    assertEquals(looks, [1]);
  });

  it("a run is told at its next renewal that the store has its claim as another's", async () => {
    const { clock, nodes: [holder, other], gone } = cluster(2);
    const slow = slowHandler();
    const result = holder.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    gone.of = () => Promise.resolve(true); // an error
    assertEquals((await clock.until(other.guard("a", handler("second")))).value, "second");
    await clock.advance(RENEWAL);
    assertEquals(holder.lost.map(({ code }) => code), ["OUTCOME_UNKNOWN"]);
    slow.end("first");
    assertEquals((await clock.until(result)).value, "second");
  });

  it("a run that fails after it lost its claim gets the result of the other run", async () => {
    const { clock, nodes: [paused, other] } = cluster(2);
    const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
    const result = paused.guard("a", () => promise, { due: 100_000 });
    await clock.advance(1_000);
    paused.connection.pause();
    await clock.advance(LEASE + 100);
    const next = slowHandler();
    const other2 = other.guard("a", next);
    await clock.advance(100);
    paused.connection.resume();
    resolve(handler(new Failing("STOPPED"))(0));
    await clock.advance(1_000);
    next.end("second");
    assertEquals((await clock.until(result)).value, "second");
    assertEquals((await clock.until(other2)).value, "second");
  });

  it("the own wall clock jumps ahead: the run is told to stop; nobody else runs, and its result is kept", async () => {
    const { clock, nodes: [jumping, other], wall } = cluster(2);
    const slow = slowHandler();
    const result = jumping.guard("a", slow, { due: 200_000 });
    await clock.advance(1_000);
    const next = handler("twice");
    const waiting = other.guard("a", next, { due: 200_000 });
    wall.slept = 3_600_000;
    await clock.advance(300);
    assertEquals(jumping.lost.map(({ code }) => code), ["OUTCOME_UNKNOWN"]);
    await clock.advance(60_000);
    wall.slept = 0;
    await clock.advance(60_000);
    slow.end("once");
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(waiting)).value, "once");
    assertEquals([next.fences, jumping.lost.length], [[], 1]);
  });

  it("a holder that renews its claim is there, whatever bounces", async () => {
    const { clock, nodes: [holder, other], gone } = cluster(2);
    const slow = slowHandler();
    const result = holder.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    gone.of = () => new Promise((resolve) => void clock.after(6_000, () => resolve(true)));
    const next = handler("twice");
    const waiting = other.guard("a", next, { due: 100_000 });
    await clock.advance(40_000);
    slow.end("once");
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(waiting)).value, "once");
    assertEquals(next.fences, []);
  });

  it("a claim is renewed for as long as its handler runs", async () => {
    const { clock, nodes: [busy, other] } = cluster(2);
    const slow = slowHandler();
    const result = busy.guard("a", slow, { due: 200_000 });
    await clock.advance(1_000);
    const waiting = other.guard("a", handler(), { due: 200_000 });
    await clock.advance(120_000);
    slow.end("at last");
    assertEquals((await clock.until(result)).value, "at last");
    assertEquals((await clock.until(waiting)).value, "at last");
  });

  it("a crash frees the id when the lease ends, not before, and wakes who waits", async () => {
    const { clock, nodes: [crashed, other] } = cluster(2);
    void crashed.guard("a", slowHandler());
    await clock.advance(1_000);
    crashed.connection.kill();
    const next = handler("second");
    const waiting = other.guard("a", next);
    await clock.advance(LEASE - 1_100);
    assertEquals(next.fences, []);
    await clock.advance(200);
    assertEquals((await clock.until(waiting)).value, "second");
  });

  it("an app that closed while its handler ran frees the id when the lease ends", async () => {
    const { clock, nodes: [closing, other] } = cluster(2);
    void closing.guard("a", slowHandler());
    await clock.advance(1_000);
    await closing.store.close();
    await clock.advance(LEASE - 1_100);
    const next = handler("second");
    const waiting = other.guard("a", next);
    await clock.advance(50);
    assertEquals(next.fences, []);
    assertEquals((await clock.until(waiting)).value, "second");
  });

  it("close: leaves no timer behind, though a handler runs and somebody waits for it", async () => {
    const { clock, nodes: [closing, other] } = cluster(2);
    void closing.guard("a", slowHandler());
    await clock.advance(1_000);
    const waiting = other.guard("a", handler());
    await clock.advance(1_000);
    await Promise.all([closing.store.close(), other.store.close()]);
    assertEquals((await clock.until(waiting)).error?.code, "OUTCOME_UNKNOWN");
    // the last look at the clocks, and what remains is that of the claim's expiry in the store
    await clock.advance(250);
    assertEquals(clock.timers, 1);
  });

  for (const [method, after] of [["create", "claim"], ["update", "result"]] as const) {
    it(`the acknowledgement of a ${after} gets lost: it is found by its nonce, and nothing runs twice`, async () => {
      const { clock, nodes: [node, other] } = cluster(2);
      loseNext(method, node);
      const run = handler("once");
      assertEquals((await clock.until(node.guard("a", run))).value, "once");
      assertEquals((await clock.until(other.guard("a", handler()))).value, "once");
      assertEquals(run.fences.length, 1);
    });
  }

  it("the acknowledgement of a renewal gets lost: the holder keeps its claim, and its result", async () => {
    const { clock, nodes: [node, other] } = cluster(2);
    loseNext("update", node);
    const slow = slowHandler();
    const result = node.guard("a", slow, { due: 100_000 });
    await clock.advance(40_000);
    slow.end("once");
    assertEquals((await clock.until(result)).value, "once");
    assertEquals((await clock.until(other.guard("a", handler()))).value, "once");
  });

  it("the acknowledgement of a freed claim gets lost: the failure comes back, and the id is free", async () => {
    const { clock, nodes: [node, other] } = cluster(2);
    loseNext("delete", node);
    assertEquals((await clock.until(node.guard("a", handler(new Failing("NO_TEA"))))).error?.code, "NO_TEA");
    assertEquals((await clock.until(other.guard("a", handler("tea")))).value, "tea");
  });

  it("UNAVAILABLE: without the store nothing runs; with it again the id is new", async () => {
    const { clock, nodes: [node] } = cluster(1);
    assertEquals((await clock.until(node.guard("before", handler(1)))).value, 1);
    node.connection.cut();
    const run = handler("tea");
    const { error } = await clock.until(node.guard("a", run));
    assertEquals([error?.code, error?.retryable, run.fences], ["UNAVAILABLE", true, []]);
    node.connection.restore();
    assertEquals((await clock.until(node.guard("a", run))).value, "tea");
  });

  it("UNAVAILABLE: a store that cannot be opened; the next command tries anew", async () => {
    const { clock, nodes: [node] } = cluster(1);
    node.connection.cut();
    const run = handler("tea");
    assertEquals((await clock.until(node.guard("a", run))).error?.code, "UNAVAILABLE");
    node.connection.restore();
    assertEquals((await clock.until(node.guard("a", run))).value, "tea");
  });

  it("a store that comes back before the deadline is waited for", async () => {
    const { clock, nodes: [node] } = cluster(1);
    await clock.until(node.guard("before", handler(1)));
    node.connection.cut();
    const waiting = node.guard("a", handler("tea"));
    await clock.advance(10_000);
    node.connection.restore();
    assertEquals((await clock.until(waiting)).value, "tea");
  });

  it("UNAVAILABLE: a claim that may have been written, and no answer until the deadline; the node takes it over", async () => {
    const { clock, network, nodes: [node] } = cluster(1);
    await clock.until(node.guard("before", handler(1)));
    network.faults = { lostAck: 1 };
    const run = handler("tea");
    const { error } = await clock.until(node.guard("a", run, { due: clock.monotonic() + 4_000 }));
    assertEquals([error?.code, run.fences], ["UNAVAILABLE", []]);
    network.faults = {};
    assertEquals((await clock.until(node.guard("a", run), 1_000)).value, "tea");
  });

  it("UNAVAILABLE: a claim that may have been written keeps other nodes waiting for a lease", async () => {
    const { clock, network, nodes: [node, other] } = cluster(2);
    await clock.until(node.guard("before", handler(1)));
    network.faults = { lostAck: 1 };
    await clock.until(node.guard("a", handler(), { due: clock.monotonic() + 4_000 }));
    network.faults = {};
    assertEquals((await clock.until(other.guard("a", handler("tea")), LEASE)).value, "tea");
  });

  it("a result that cannot be kept at once is kept when the store is there again", async () => {
    const { clock, nodes: [node, other] } = cluster(2);
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

  it("OUTCOME_UNKNOWN: the store does not say for a whole lease whether the result was kept", async () => {
    const { clock, nodes: [node] } = cluster(1);
    const slow = slowHandler();
    const result = node.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    node.connection.cut();
    slow.end("once");
    assertEquals((await clock.until(result)).error?.code, "OUTCOME_UNKNOWN");
  });

  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`under cuts, freezes, late and lost answers every result of an id is the same (seed ${seed})`, async () => {
      const { clock, network, nodes, faults } = cluster(3, { seed });
      network.faults = {
        delay: 200,
        lostAck: 0.05,
        cut: { every: 20_000, lasts: 4_000 },
        pause: { every: 20_000, lasts: 25_000 },
      };
      const given = new Map<string, Set<unknown>>();
      let answers = 0;
      /** As a sender does: again with the same id, until there is a result. */
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
