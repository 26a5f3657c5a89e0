import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { DeadlineWheel } from "../../ports/deadline_wheel.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { memoryHarness } from "../harness_suite.ts";
import { CallerDeadline } from "./caller_deadline.ts";
import { ClaimWait, KeyWatch } from "./claim_wait.ts";
import { type RunningClaim, writeDone, writeRunning } from "./claim_record.ts";

const claim: RunningClaim = { state: "running", fingerprint: "f", nonce: "n", endpoint: "red.0" };
const text = writeRunning(claim);

/**
 * Makes a bucket with a claim, and waits for the claim's end. `gone`: what the liveness check answers, call after
 * call.
 */
async function setUp(...gone: boolean[]) {
  const harness = await memoryHarness();
  const { clock, open } = await harness.node();
  const bucket = await harness.until(open("claims"));
  await harness.until(bucket.put("Pay-00/a", text));
  const entry = (await harness.until(bucket.get("Pay-00/a")))!;
  const checks: string[] = [];
  const liveness = {
    gone: (endpoint: string) => {
      checks.push(endpoint);
      return Promise.resolve(gone.shift() ?? false);
    },
  };
  const wait = new ClaimWait(clock, liveness, () => Promise.resolve(bucket));
  const deadline = new CallerDeadline(new DeadlineWheel(clock), clock.monotonic() + 30_000);
  const change = wait.change(bucket, entry, claim, deadline);
  return { harness, bucket, entry, checks, change };
}

describe("ClaimWait", () => {
  it("resolves with the result that replaces the claim, not with a renewal", async () => {
    const { harness, bucket, entry, change } = await setUp();
    let changed = false;
    change.then(() => changed = true);
    await harness.pass(100);
    const renewed = await harness.until(bucket.update(entry.key, text, entry.revision));
    await harness.pass(500);
    assertEquals(changed, false);
    const done = writeDone(claim, { ok: true, value: 7 }, Infinity).text;
    await harness.until(bucket.update(entry.key, done, renewed!));
    const { found, gone } = await harness.until(change);
    assertEquals(found?.value, done);
    assertEquals(gone, undefined);
  });

  it("resolves with undefined when the claim is removed", async () => {
    const { harness, bucket, entry, change } = await setUp();
    await harness.pass(100);
    await harness.until(bucket.delete(entry.key));
    assertEquals(await harness.until(change), { found: undefined });
  });

  it("resolves with the claim when its holder is gone, which it checks once a second", async () => {
    const { harness, entry, checks, change } = await setUp(false, false, true);
    const { found, gone } = await harness.until(change);
    assertEquals(gone, true);
    assertEquals(found?.revision, entry.revision);
    assertEquals(checks, ["red.0", "red.0", "red.0"]);
  });

  it("rejects at the caller's deadline, and checks the holder no more", async () => {
    const { harness, checks, change } = await setUp();
    const error = await assertRejects(() => harness.until(change), CatgaError);
    assertEquals(error.code, "TIMEOUT");
    const before = checks.length;
    await harness.pass(5_000);
    assertEquals(checks.length, before);
  });
});

describe("ClaimWait, while a check takes longer than a caller waits", () => {
  /** Waits of 2 s for claims of a process, whose one check takes 6 s and says that it is gone. */
  async function shortWaits() {
    const harness = await memoryHarness();
    const { clock, open } = await harness.node();
    const bucket = await harness.until(open("claims"));
    let checks = 0;
    const liveness = {
      gone: () => {
        checks++;
        return new Promise<boolean>((resolve) => clock.after(6_000, () => resolve(true)));
      },
    };
    const wait = new ClaimWait(clock, liveness, () => Promise.resolve(bucket));
    const change = async (key: string) => {
      const entry = (await harness.until(bucket.get(key)))!;
      const deadline = new CallerDeadline(new DeadlineWheel(clock), clock.monotonic() + 2_000);
      return await harness.until(
        wait.change(bucket, entry, claim, deadline).then(({ gone }) => gone, ({ code }) => code),
      );
    };
    const put = (key: string) => harness.until(bucket.put(key, text));
    return { harness, put, change, checks: () => checks };
  }

  it("knows its answer afterwards: a later wait takes the claim at once (each began another check, in vain)", async () => {
    const { harness, put, change, checks } = await shortWaits();
    await put("Pay-00/a");
    assertEquals(await change("Pay-00/a"), "TIMEOUT");
    await harness.pass(6_000);
    assertEquals([await change("Pay-00/a"), checks()], [true, 1]);
  });

  it("checks again for a claim that was written after the check had begun: its process is back", async () => {
    const { harness, put, change, checks } = await shortWaits();
    await put("Pay-00/a");
    assertEquals(await change("Pay-00/a"), "TIMEOUT");
    await harness.pass(6_000);
    await put("Pay-00/b");
    assertEquals([await change("Pay-00/b"), checks()], ["TIMEOUT", 2]);
  });
});

describe("ClaimWait, while a check is under way", () => {
  /** Begins waits of 30 s for claims of a process, of which each check takes 6 s and says that it is gone. */
  async function longWaits() {
    const harness = await memoryHarness();
    const { clock, open } = await harness.node();
    const bucket = await harness.until(open("claims"));
    const began: number[] = [];
    const liveness = {
      gone: () => {
        began.push(clock.monotonic());
        return new Promise<boolean>((resolve) => clock.after(6_000, () => resolve(true)));
      },
    };
    const wait = new ClaimWait(clock, liveness, () => Promise.resolve(bucket));
    const put = (key: string) => harness.until(bucket.put(key, text));
    /** Begins a wait; it ends with what it found, and how many checks took as long as it did. */
    const begin = async (key: string) => {
      const entry = (await harness.until(bucket.get(key)))!;
      const deadline = new CallerDeadline(new DeadlineWheel(clock), clock.monotonic() + 30_000);
      return {
        end: wait.change(bucket, entry, claim, deadline).then(({ gone }) => {
          return [gone, Math.round((clock.monotonic() - began[0]) / 3_000) / 2];
        }),
      };
    };
    const ends = (...waits: { readonly end: Promise<unknown> }[]) =>
      harness.until(Promise.all(waits.map(({ end }) => end)));
    return { harness, put, begin, ends };
  }

  it("takes its answer for claims that were written before it began, whichever is waited for first", async () => {
    const { harness, put, begin, ends } = await longWaits();
    for (const key of ["Pay-00/a", "Pay-00/b", "Pay-00/c"]) await put(key);
    const first = await begin("Pay-00/a");
    await harness.pass(3_000);
    const later = [await begin("Pay-00/c"), await begin("Pay-00/b")];
    assertEquals(await ends(first, ...later), [[true, 1], [true, 1], [true, 1]]);
  });

  it("a later wait, for a claim of which the check did not know, has its own check at once (waited for two)", async () => {
    const { harness, put, begin, ends } = await longWaits();
    for (const key of ["Pay-00/a", "Sell-00/c", "Mail-00/d"]) await put(key);
    const waits = [await begin("Pay-00/a")];
    for (const key of ["Mail-00/d", "Sell-00/c"]) {
      await harness.pass(500);
      waits.push(await begin(key));
    }
    assertEquals(await ends(...waits), [[true, 1], [true, 1], [true, 1]]);
  });

  it("checks again for claims that were written since: their process was back for a moment", async () => {
    const { harness, put, begin, ends } = await longWaits();
    await put("Pay-00/a");
    const first = await begin("Pay-00/a");
    await harness.pass(3_000);
    await put("Pay-00/b");
    await put("Sell-00/c");
    const later = [await begin("Sell-00/c"), await begin("Pay-00/b")];
    // their check began 3 s after the first
    assertEquals(await ends(first, ...later), [[true, 1], [true, 1.5], [true, 1.5]]);
  });
});

/** Makes a bucket of which `watches` counts the watches that are open. */
async function watchedBucket() {
  const harness = await memoryHarness();
  const node = await harness.node();
  const bucket = await harness.until(node.open("watched"));
  const signals: AbortSignal[] = [];
  const watch = bucket.watch.bind(bucket);
  Object.assign(bucket, {
    watch: (...[prefix, onChange, options]: Parameters<Bucket["watch"]>) => {
      signals.push(options.signal);
      return watch(prefix, onChange, options);
    },
  });
  const watches = () => signals.filter(({ aborted }) => !aborted).length;
  return { harness, bucket, watches };
}

describe("KeyWatch", () => {
  it("calls back with the current entry of a key and later changes, and with no other key's", async () => {
    const { harness, bucket } = await watchedBucket();
    await harness.until(bucket.put("a/1", "old"));
    await harness.until(bucket.put("a/2", "other"));
    const seen: string[] = [];
    const watch = new KeyWatch(() => Promise.resolve(bucket));
    const watched = watch.watch("a/1", (change) => seen.push(change.type === "put" ? change.value : change.type));
    await harness.until(watched.ready);
    await harness.until(bucket.put("a/2", "again"));
    await harness.until(bucket.put("a/1", "new"));
    await harness.pass(100);
    assertEquals(seen, ["old", "new"]);
    watched.stop();
    await harness.until(bucket.put("a/1", "unseen"));
    await harness.pass(100);
    assertEquals(seen, ["old", "new"]);
  });

  it("shares one watch of the bucket among keys with one prefix, until the last of them is stopped", async () => {
    const { harness, bucket, watches } = await watchedBucket();
    const watch = new KeyWatch(() => Promise.resolve(bucket));
    const watched = ["a/1", "a/2", "a/2", "b/1"].map((key) => watch.watch(key, () => {}));
    for (const { ready } of watched) await harness.until(ready);
    assertEquals(watches(), 2);
    for (const each of watched.slice(0, 2)) each.stop();
    assertEquals(watches(), 2);
    for (const each of watched) each.stop();
    assertEquals(watches(), 0);
  });

  it("rejects `ready` when the bucket cannot be watched; the next call opens another watch", async () => {
    const { harness, bucket, watches } = await watchedBucket();
    const answers: (() => Promise<Bucket>)[] = [() => Promise.reject(new Error("no server"))];
    const watch = new KeyWatch(() => answers.shift()?.() ?? Promise.resolve(bucket));
    await assertRejects(() => watch.watch("a/1", () => {}).ready, Error, "no server");
    assertEquals(watches(), 0);
    const again = watch.watch("a/1", () => {});
    await harness.until(again.ready);
    assertEquals(watches(), 1);
    again.stop();
  });
});
