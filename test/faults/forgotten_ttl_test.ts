/**
 * Fault: restarts in which nats-server loses ttls (`support/forgetful_server.ts`). Entries of shared state that were
 * deleted or had expired come back, and block nothing.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { before, describe, it } from "node:test";
import { type Catga, catga, command, fail } from "../../mod.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { LEASE } from "../../src/state/claims/held_claim.ts";
import { eventually } from "../support/eventually.ts";
import { Standstill } from "../support/standstill.ts";
import { PATIENT } from "../support/patient.ts";
import { type Restarts, SEQUENCES, untilForgotten } from "../support/forgetful_server.ts";

const Pay = command<number, number>("Pay", { idempotent: { ttl: 2_000 } });
const TTL = 2_000; // ms, of locks, of leads, of results and of the cache's values
const HEARTBEAT = 3_000;

const LATE = 1_500;
const BUCKETS = ["nodes", "locks", "idempotency", "cache"].map((name) => `catga_forgetful_${name}`);
const KINDS = [
  /nodes\.c$/,
  /locks\.h\.held$/,
  /locks\.w\.queue/,
  /locks\.leadh\.billing$/,
  /idempotency\..*\.claim$/,
  /idempotency\..*\.result$/,
  /cache\.over$/,
  /cache\.deleted$/,
];

describe("shared state on a server that has lost ttls", await requireNatsServer(), () => {
  const tests = new Map<Restarts, Promise<void>>();
  // all at once: most of the time an entry's ttl passes
  before(() => {
    for (const sequence of SEQUENCES) {
      const test = judge(sequence);
      test.catch(() => {}); // the test that awaits it sees the error
      tests.set(sequence, test);
    }
  });

  for (const sequence of SEQUENCES) {
    it(
      `${sequence}: no entry of shared state or membership outlives its ttl by more than 1.5 s`,
      { timeout: 1_200_000 },
      () => tests.get(sequence),
    );
  }
});

async function judge(sequence: Restarts): Promise<void> {
  await untilForgotten(async (servers) => {
    const runs: string[] = [];
    const open = (id: string) => start(servers.url, id, runs);
    await using a = await open("a");
    await using b = await open("b");
    const c = await open("c");

    // each leaves a record that is deleted, or has expired, within a second before the first restart
    await a.cache.set("over", 1, { ttl: TTL });
    assertEquals((await a.send(Pay, 1, { id: "result" })).value, 1);
    await eventually("the value to be over", async () => await a.cache.get("over") === undefined);
    const claimed = performance.now();
    const [busy] = await Promise.all([
      b.send(Pay, 3, { id: "claim" }),
      a.cache.set("deleted", 1, { ttl: TTL }).then(() => a.cache.delete("deleted")),
      waitInQueue(a, b, servers.url),
      a.lock("held", { ttl: TTL }).then((lock) => lock.release()),
      led(a),
      c.drain(),
    ]);
    // on the busy machine its first attempt was lost, and another one ran
    if (runs.filter((id) => id === "claim").length > 1) return false;
    assertEquals(busy.error?.code, "BUSY");
    const back = await servers.forget(sequence, BUCKETS);
    const faultOver = performance.now();
    await using still = await Standstill.watch([servers.url]);
    if (!KINDS.every((kind) => back.some((subject) => kind.test(subject)))) return false;
    for (const app of [a, b]) {
      await eventually("the reconnect", () => app.health().connection === "connected");
    }
    const since = still.stopwatch(faultOver);
    const connected = since(); // before, they could do nothing

    await (await a.lock("held", { ttl: TTL, timeout: PATIENT.timeout })).release();
    assertLess(since() - connected, TTL + LATE);
    // none of the waiters is handed the lock
    await waitInQueue(b, a, servers.url);
    assertLess(since() - connected, TTL + LATE + 1_000);
    await led(b);
    assertLess(since() - connected, TTL + LATE + 2_000);
    for (const key of ["over", "deleted"]) assertEquals(await b.cache.get(key), undefined);
    const asked = since();
    assertEquals(await b.send(Pay, 2, { id: "result", ...PATIENT }), { ok: true, value: 2 });
    assertLess(since() - asked, TTL + LATE);
    await eventually("c to leave", () => [a, b].every((app) => app.nodes().length === 2), HEARTBEAT + 5_000);
    const left = claimed + LEASE + LATE - performance.now();
    const again = since();
    assertEquals((await a.send(Pay, 3, { id: "claim", ...PATIENT })).value, 3);
    assertLess(since() - again, Math.max(2_000, left));
    assertEquals(runs, ["result", "claim", "result", "claim"]);
    return true;
  });
}

function start(url: string, id: string, runs: string[]): Promise<Catga> {
  const pay = Pay.handle((amount, ctx) => {
    const again = runs.includes(ctx.id) || runs.length === 0;
    runs.push(ctx.id);
    return again ? amount : fail("BUSY", "try again", { retryable: true });
  });
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  return catga({ nats: url, id, namespace: "forgetful", heartbeat: HEARTBEAT, handlers: pay, logger: silent });
}

/** One holds a lock for which five calls of the other wait; each has it in turn. */
async function waitInQueue(holder: Catga, waiting: Catga, url: string): Promise<void> {
  await using still = await Standstill.watch([url]);
  const first = await holder.lock("queue", { ttl: TTL, timeout: PATIENT.timeout });
  const begun = performance.now();
  const waiters = Array.from({ length: 5 }, async () => {
    await using lock = await waiting.lock("queue", { ttl: TTL });
    assert(lock.token > first.token);
  });
  await eventually("a lock that is waited for", async () => {
    const refused = await waiting.lock("queue", { ttl: TTL, timeout: 0 }).then(() => false, () => true);
    return refused && performance.now() - begun > 200;
  });
  const sinceRelease = still.stopwatch();
  await first.release();
  await Promise.all(waiters);
  // one who is dead would have it for a ttl
  assertLess(sinceRelease(), TTL);
}

async function led(app: Catga): Promise<void> {
  const began = Promise.withResolvers<void>();
  const term = app.lead("billing", (signal) => {
    began.resolve();
    return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  }, { ttl: TTL });
  await began.promise;
  await term.resign();
}
