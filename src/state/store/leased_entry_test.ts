import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { type Clock, elapsed, LONG_AGO, stamp } from "../../ports/clock.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";
import { AnswerTimeouts } from "./answer_timeouts.ts";
import { LeasedEntry, left, margin } from "./leased_entry.ts";
import { JumpWatch } from "./jump_watch.ts";

/**
 * A bucket of one key. `lostAcks`: how many of the next acknowledgements get lost; `lagging`: reads come from a
 * server that lags behind.
 */
class OneKey {
  entry: Entry | undefined;
  lostAcks = 0;
  lagging = false;
  silent = false;
  /** True if the next entry is removed as soon as its write is acknowledged. */
  removed = false;
  #revision = 0;

  readonly bucket = {
    get: () => Promise.resolve(this.entry),
    create: (_key: string, value: string) => this.write(this.entry === undefined, value),
    update: (_key: string, value: string, revision: number) => this.write(this.entry?.revision === revision, value),
  } as Partial<Bucket> as Bucket;

  write(may: boolean, value: string): Promise<number | undefined> {
    if (this.silent) return new Promise(() => {});
    if (!may || this.lagging) return Promise.resolve(undefined);
    this.entry = { key: "k", value, revision: ++this.#revision };
    if (this.removed) this.entry = undefined;
    this.removed = false;
    if (this.lostAcks-- > 0) return Promise.reject(new CatgaError("UNAVAILABLE", "the acknowledgement was lost"));
    return Promise.resolve(this.#revision);
  }
}

function leased(store: OneKey, ttl = 10_000) {
  const clock = new VirtualClock();
  const host = { clock, answers: new AnswerTimeouts(clock), bucket: () => Promise.resolve(store.bucket) };
  const isOwn = (text: string) => text.startsWith("own");
  return { clock, entry: new LeasedEntry(host, "k", ttl, { revision: 0, sent: stamp(clock), isOwn }) };
}

describe("LeasedEntry", () => {
  it("is created by its first write and renewed by the next ones, each of which begins its lease anew", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    assertEquals(await entry.renew(100, () => "own 1"), "written");
    assertEquals(entry.revision, 1);
    await clock.advance(4_000);
    assertEquals(entry.left, 5_000);
    assertEquals(await entry.renew(100, (revision) => `own after ${revision}`), "written");
    assertEquals(store.entry?.value, "own after 1");
    assertEquals(entry.left, 9_000);
  });

  it("after a lost acknowledgement it finds its own entry, and writes it again because its age is unknown", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    await entry.renew(100, () => "own");
    await clock.advance(3_000);
    store.lostAcks = 1;
    await assertRejects(() => entry.renew(100, () => "own"), CatgaError);
    assertEquals(entry.left, 6_000); // the time that is left is that of the acknowledged write
    assertEquals(await entry.renew(100, () => "own"), "written");
    assertEquals(entry.revision, 3);
    assertEquals(entry.left, 9_000);
  });

  it("is gone when the store has the entry of another, or none, and leaves that as it is", async () => {
    const store = new OneKey();
    const { entry } = leased(store);
    await entry.renew(100, () => "own");
    store.entry = undefined;
    assertEquals(await entry.renew(100, () => "own"), { found: undefined });
    await store.write(true, "another's");
    assertEquals(await entry.renew(100, () => "own"), { found: { key: "k", value: "another's", revision: 2 } });
    assertEquals((await store.bucket.get("k"))?.revision, 2);
  });

  it("is created again after it was forgotten, by one write though its lease has ended: it replaces nothing", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    await entry.renew(100, () => "own");
    await clock.advance(9_000);
    store.entry = undefined;
    entry.forget();
    assertEquals(await entry.renew(100, () => "own"), "written");
    assertEquals(entry.revision, 2);
  });

  it("a refusal that a read contradicts is UNAVAILABLE: the answer came from a server that lags behind", async () => {
    const store = new OneKey();
    const { entry } = leased(store);
    await entry.renew(100, () => "own");
    store.lagging = true;
    const error = await assertRejects(() => entry.renew(100, () => "own"), CatgaError);
    assertEquals((error as CatgaError).code, "UNAVAILABLE");
  });

  it("a refusal at the revision of the entry to be replaced, as during its removal, is UNAVAILABLE, not a change", async () => {
    const store = new OneKey();
    const { clock } = leased(store);
    const revision = await store.write(true, "another's") ?? 0;
    const host = { clock, answers: new AnswerTimeouts(clock), bucket: () => Promise.resolve(store.bucket) };
    const isOwn = (text: string) => text.startsWith("own");
    const entry = new LeasedEntry(host, "k", 10_000, { revision, sent: LONG_AGO, isOwn });
    store.lagging = true;
    const error = await assertRejects(() => entry.renew(100, () => "own"), CatgaError);
    assertEquals((error as CatgaError).code, "UNAVAILABLE");
    store.lagging = false;
    assertEquals(await entry.renew(100, () => "own"), "written");
    assertEquals(entry.revision, revision + 2);
  });

  it("is written twice when it may have expired before, and once while its lease lasts", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    for (const [passes, revision] of [[0, 1], [8_999, 2], [9_000, 4], [100, 5]]) {
      await clock.advance(passes);
      assertEquals(await entry.renew(100, () => "own"), "written");
      assertEquals(entry.revision, revision);
    }
  });

  it("is gone when the store removes it with the expired one that it has replaced", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    await entry.renew(100, () => "own");
    await clock.advance(9_000);
    store.removed = true;
    assertEquals(await entry.renew(100, () => "own"), { found: undefined });
  });

  it("the first of two writes begins no lease: the store may be about to remove it", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    await entry.renew(100, () => "own");
    await clock.advance(9_000);
    const failed = assertRejects(() =>
      entry.change(100, async (bucket, revision) => {
        const written = await bucket.update("k", "own", revision);
        store.silent = true;
        return written;
      }), CatgaError);
    await clock.advance(200);
    await failed;
    assertEquals(entry.revision, 2);
    assertEquals(entry.left, -200);
    store.silent = false;
    assertEquals(await entry.renew(100, () => "own"), "written");
    assertEquals(entry.left, 9_000);
  });

  it("an answer that takes longer than the limit is UNAVAILABLE, and the lease runs on from the write before", async () => {
    const store = new OneKey();
    const { clock, entry } = leased(store);
    await entry.renew(100, () => "own");
    store.silent = true;
    const never = entry.renew(100, () => "own");
    const failed = assertRejects(() => never, CatgaError);
    await clock.advance(200);
    await failed;
    assertEquals(entry.left, 8_800);
    await clock.advance(9_000);
    assertEquals(entry.left <= 0, true);
    const why = "no answer from the store in 100 ms; a write may have happened";
    assertEquals(entry.overdue, `it could not be renewed for 9,200 ms, of a ttl of 10,000 ms (${why})`);
  });
});

/** Makes a clock on virtual time whose wall clock can jump. */
function jumpingClock(): { readonly clock: Clock; readonly time: VirtualClock; jump(ms: number): void } {
  const time = new VirtualClock();
  let offset = 0;
  const clock: Clock = {
    now: () => time.now() + offset,
    monotonic: () => time.monotonic(),
    after: (ms, callback) => time.after(ms, callback),
    soon: (callback) => time.soon(callback),
  };
  return { clock, time, jump: (ms) => void (offset += ms) };
}

describe("lease", () => {
  it("ends 1 s before its ttl, or a third of a ttl below 3 s", () => {
    assertEquals(margin(20_000), 1_000);
    assertEquals(margin(3_000), 1_000);
    assertEquals(margin(1_500), 500);
    const clock = new VirtualClock();
    assertEquals(left(stamp(clock), stamp(clock), 10_000), 9_000);
  });

  it("counts the time of whichever clock is further on", async () => {
    const { clock, time, jump } = jumpingClock();
    const since = stamp(clock);
    await time.advance(2_000);
    assertEquals(elapsed(clock, since), 2_000);
    jump(5_000);
    assertEquals(elapsed(clock, since), 7_000);
    jump(-60_000);
    assertEquals(elapsed(clock, since), 2_000);
    assertEquals(left(stamp(clock), since, 10_000), 7_000);
  });
});

describe("JumpWatch", () => {
  it("checks leases when the wall clock jumps ahead, or drifts ahead slowly; not otherwise", async () => {
    const { clock, time, jump } = jumpingClock();
    const watch = new JumpWatch(clock);
    let checks = 0;
    const leased = { check: () => void checks++ };
    watch.add(leased);
    await time.advance(10_000);
    assertEquals(checks, 0);
    jump(3_600_000);
    await time.advance(300);
    assertEquals(checks, 1);
    jump(-3_600_000);
    await time.advance(300);
    assertEquals(checks, 1);
    for (let i = 0; i < 12; i++) {
      jump(5);
      await time.advance(250);
    }
    assertEquals(checks, 2);
    watch.delete(leased);
    jump(3_600_000);
    await time.advance(300);
    assertEquals(checks, 2);
  });

  it("a process that stood still checks all leases at its first look, before any renewal is due", () => {
    const state = { now: 1_000, due: [] as (() => void)[] };
    const clock: Clock = {
      now: () => state.now,
      monotonic: () => state.now,
      after(_, callback) {
        state.due.push(callback);
        return { cancel: () => {} };
      },
      soon: (callback) => callback(),
    };
    const fire = (ms: number) => {
      state.now += ms;
      for (const callback of state.due.splice(0)) callback();
    };
    const watch = new JumpWatch(clock);
    let checks = 0;
    watch.add({ check: () => checks++ });
    fire(250);
    assertEquals(checks, 0);
    fire(3_000);
    assertEquals(checks, 1);
    fire(250);
    assertEquals(checks, 1);
  });
});
