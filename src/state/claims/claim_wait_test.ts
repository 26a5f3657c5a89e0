import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { memoryHarness } from "../harness_suite.ts";
import { CallerDeadline } from "./caller_deadline.ts";
import { ClaimWait } from "./claim_wait.ts";
import { type RunningClaim, writeDone } from "./claim_record.ts";

const claim: RunningClaim = { state: "running", fingerprint: "f", nonce: "n", endpoint: "red.0" };
const text = JSON.stringify(claim);

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
    const done = writeDone(claim, { ok: true, value: 7 }, Infinity);
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
