/** Tests of idempotent commands on virtual time: the process that holds the claim freezes, loses the store or dies. */
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import { fail, type Result } from "../../contract/calls/result.ts";
import { Failing, handler, slowHandler } from "../../../test/support/claims.ts";
import { claimCluster, LEASE, loseNext, PAUSE, RENEWAL } from "./claims_harness_suite.ts";

describe("a claim whose holder is frozen, cut off, gone or busy", () => {
  it("a holder frozen past its lease returns the result that another attempt recorded, not its own", async () => {
    const { clock, nodes: [frozen, other] } = claimCluster(2);
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

  it("a holder frozen past its lease records its result, though another attempt runs by then, which returns it", async () => {
    const { clock, nodes: [frozen, other] } = claimCluster(2);
    const [first, second] = [slowHandler(), slowHandler()];
    const late = frozen.guard("a", first, { due: 60_000 });
    await clock.advance(1_000);
    frozen.connection.pause();
    await clock.advance(LEASE + 100);
    const result = other.guard("a", second, { due: 60_000 });
    first.end("first");
    frozen.connection.resume();
    assertEquals((await clock.until(late, 1_000)).value, "first");
    await clock.advance(RENEWAL);
    assertEquals(other.lost.map(({ code }) => code), ["OUTCOME_UNKNOWN"]);
    second.end("second");
    assertEquals((await clock.until(result)).value, "first");
    assertEquals((await clock.until(other.guard("a", handler()))).value, "first");
  });

  it("a holder frozen past its lease records its result, though its claim has expired (OUTCOME_UNKNOWN, and it ran again)", async () => {
    const { clock, nodes: [frozen, other] } = claimCluster(2);
    const slow = slowHandler();
    const late = frozen.guard("a", slow, { due: 60_000 });
    await clock.advance(1_000);
    frozen.connection.pause();
    await clock.advance(LEASE + 100);
    slow.end("first");
    frozen.connection.resume();
    assertEquals((await clock.until(late)).value, "first");
    assertEquals((await clock.until(other.guard("a", handler("second")))).value, "first");
  });

  it("each of three nodes that compute for 20 s, one after the other, returns the first result", async () => {
    for (const blocks of [15_000, 18_000, 19_500, 20_001, 20_500, 25_000, 39_000, 41_000, 60_000]) {
      const { clock, nodes } = claimCluster(3);
      const began: number[] = [];
      /** Runs as a handler that computes: nothing reaches its node meanwhile. */
      const compute = (i: number) => (): Promise<Result<unknown>> => {
        began.push(i);
        const { connection } = nodes[i];
        connection.pause();
        clock.after(blocks, () => connection.resume());
        return new Promise((resolve) => void connection.clock.after(1, () => resolve({ ok: true, value: i })));
      };
      const results = nodes.map((node, i) => node.guard("a", compute(i), { due: 200_000 }));
      assertEquals((await clock.until(results[0], blocks + 2_000)).value, 0, `${blocks} ms`);
      const all = await clock.until(Promise.all(results));
      assertEquals(all.map(({ value }) => value), [0, 0, 0], `${blocks} ms`);
      assertEquals(began.length, Math.min(3, Math.ceil((blocks + 500) / LEASE)), `${blocks} ms: ${began}`);
    }
  });

  it("OUTCOME_UNKNOWN: a holder frozen past its lease has failed, and no attempt has recorded a result", async () => {
    const { clock, nodes: [frozen, other] } = claimCluster(2);
    const failing = Promise.withResolvers<Result<unknown>>();
    const late = frozen.guard("a", () => failing.promise, { due: 60_000 });
    await clock.advance(1_000);
    frozen.connection.pause();
    await clock.advance(LEASE + 100);
    failing.resolve(fail("NO_TEA", "none"));
    frozen.connection.resume();
    const { error } = await clock.until(late);
    assertEquals([error?.code, error?.retryable], ["OUTCOME_UNKNOWN", true]);
    assertEquals((await clock.until(other.guard("a", handler("second")))).value, "second");
  });

  it("a claim that a frozen process acquired too late runs nothing: it returns the result of another attempt", async () => {
    const { clock, network, nodes: [frozen, other] } = claimCluster(2);
    await clock.until(frozen.guard("before", handler(1)));
    const run = handler("first");
    const bucket = await network.store.open("claims");
    const watching = new AbortController();
    const onChange = ({ key }: { key: string }) => {
      if (!key.endsWith("/a")) return;
      // the claim is written, and its acknowledgement is under way
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
    const { clock, nodes: [slow, other] } = claimCluster(2);
    let created = 0;
    loseNext("create", slow, async (make) => {
      created = await make() as number;
      // the acknowledgement arrives while the process stands still
      slow.connection.pause();
      clock.after(19_000, () => slow.connection.resume());
      await new Promise<void>((resolve) => void slow.connection.clock.after(1, resolve));
      return created;
    });
    const run = slowHandler();
    const result = slow.guard("a", run, { due: 100_000 });
    await clock.advance(19_500);
    assertGreater(created, 0);
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

  it("a claim outlives a pause of 15 s, whenever that begins", async () => {
    const ran: number[] = [];
    for (let offset = 0; offset <= RENEWAL; offset += 100) {
      const { clock, nodes: [paused, other] } = claimCluster(2);
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

  it("a claim outlives a cut of 4 s, whenever that begins, and its run goes on", async () => {
    for (let offset = 0; offset <= RENEWAL; offset += 250) {
      const { clock, nodes: [away, other] } = claimCluster(2);
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
      assertEquals(next.fences, [], `cut at ${offset} ms`);
      assertEquals(away.lost, [], `cut at ${offset} ms`);
    }
  });

  it("a claim is renewed within 1 s of the end of a cut", async () => {
    const { clock, nodes: [away, other] } = claimCluster(2);
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
    assertEquals(next.fences, []);
    assertEquals(away.lost, []);
  });

  it("a run that is cut off is aborted 1 s before its claim expires in the store", async () => {
    const { clock, nodes: [away, other] } = claimCluster(2);
    const slow = slowHandler();
    const result = away.guard("a", slow, { due: 100_000 });
    const next = slowHandler();
    await clock.advance(100);
    const waiting = other.guard("a", next, { due: 100_000 });
    away.connection.cut();
    await clock.advance(LEASE - 1_200);
    assertEquals(away.lost, []);
    await clock.advance(200);
    assertEquals(away.lost.length, 1);
    assertEquals(away.lost[0].code, "OUTCOME_UNKNOWN");
    assertEquals(away.lost[0].retryable, true);
    assertEquals(next.fences, []);
    await clock.advance(2_000);
    assertEquals(next.fences.length, 1);
    away.connection.restore();
    slow.end("first");
    next.end("second");
    assertEquals((await clock.until(result)).value, "second");
    assertEquals((await clock.until(waiting)).value, "second");
    assertEquals(away.lost.length, 1);
  });

  it("a run is aborted by the first timer after a pause that was longer than its lease", async () => {
    const { clock, nodes: [paused] } = claimCluster(1);
    const slow = slowHandler();
    void paused.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    paused.connection.pause();
    await clock.advance(LEASE);
    paused.connection.resume();
    await clock.advance(0);
    assertEquals(paused.lost.map(({ code }) => code), ["OUTCOME_UNKNOWN"]);
  });

  it("a run that checks its claim after such a pause is aborted before any timer has run", async () => {
    const { clock, network, nodes: [paused] } = claimCluster(1);
    const lossesSeen: number[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    void paused.guard("a", async (_, check) => {
      await promise; // `promise` settles while the process is paused
      check();
      lossesSeen.push(paused.lost.length);
      return { ok: true, value: 1 };
    }, { due: 100_000 });
    await clock.advance(1_000);
    paused.connection.pause();
    network.clock.after(LEASE, resolve);
    await clock.advance(LEASE);
    assertEquals(lossesSeen, [1]);
  });

  it("a run is aborted at the renewal that finds another attempt's claim", async () => {
    const { clock, nodes: [holder, other], gone } = claimCluster(2);
    const slow = slowHandler();
    const result = holder.guard("a", slow, { due: 100_000 });
    await clock.advance(1_000);
    gone.of = () => Promise.resolve(true); // the liveness check errs: the holder is alive
    assertEquals((await clock.until(other.guard("a", handler("second")))).value, "second");
    await clock.advance(RENEWAL);
    assertEquals(holder.lost.map(({ code }) => code), ["OUTCOME_UNKNOWN"]);
    slow.end("first");
    assertEquals((await clock.until(result)).value, "second");
  });

  it("a run that fails after it lost its claim returns the result of the other run", async () => {
    const { clock, nodes: [paused, other] } = claimCluster(2);
    const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
    const result = paused.guard("a", () => promise, { due: 100_000 });
    await clock.advance(1_000);
    paused.connection.pause();
    await clock.advance(LEASE + 100);
    const next = slowHandler();
    const otherResult = other.guard("a", next);
    await clock.advance(100);
    paused.connection.resume();
    resolve(handler(new Failing("STOPPED"))(0));
    await clock.advance(1_000);
    next.end("second");
    assertEquals((await clock.until(result)).value, "second");
    assertEquals((await clock.until(otherResult)).value, "second");
  });

  // docs/state.md, crash semantics, "one recorded result of an id": own clock
  // docs/state.md, crash semantics, "one run of an id": own clock
  it("a run is aborted when its wall clock jumps ahead; no other attempt runs, and its result is kept", async () => {
    const { clock, nodes: [jumping, other], wall } = claimCluster(2);
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
    assertEquals(next.fences, []);
    assertEquals(jumping.lost.length, 1);
  });

  it("a holder that renews its claim is not taken for gone, whatever its liveness check says", async () => {
    const { clock, nodes: [holder, other], gone } = claimCluster(2);
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
    const { clock, nodes: [busy, other] } = claimCluster(2);
    const slow = slowHandler();
    const result = busy.guard("a", slow, { due: 200_000 });
    await clock.advance(1_000);
    const waiting = other.guard("a", handler(), { due: 200_000 });
    await clock.advance(120_000);
    slow.end("at last");
    assertEquals((await clock.until(result)).value, "at last");
    assertEquals((await clock.until(waiting)).value, "at last");
  });

  it("a crash frees the id when the lease ends, not before; an attempt that waits then runs", async () => {
    const { clock, nodes: [crashed, other] } = claimCluster(2);
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
    const { clock, nodes: [closing, other] } = claimCluster(2);
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

  it("close: leaves no timer behind while a handler runs and another attempt waits for it", async () => {
    const { clock, nodes: [closing, other] } = claimCluster(2);
    void closing.guard("a", slowHandler());
    await clock.advance(1_000);
    const waiting = other.guard("a", handler());
    await clock.advance(1_000);
    await Promise.all([closing.store.close(), other.store.close()]);
    assertEquals((await clock.until(waiting)).error?.code, "OUTCOME_UNKNOWN");
    // within 250 ms the closing store compares its clocks for the last time; the timer that remains is the claim's
    // expiry in the store
    await clock.advance(250);
    assertEquals(clock.timers, 1);
  });
});
