/** Tests of schedules that are replaced or taken back while a real nats-server is firing them. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, command, event } from "../../../mod.ts";
import { COUNT, firings, plan } from "../../../test/support/due_at_once.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { WallClockWatch } from "../../../test/support/wall_clock.ts";
import { requireNatsServer, startNatsCluster, startNatsServer } from "../../../tools/nats_server.ts";
import type { EnqueueOptions } from "../../contract/calls/durable_messages.ts";
import type { PublishOptions } from "../../contract/calls/send_options.ts";

const Mail = command<{ n: number }>("Mail", { durable: true });
const Ended = event<{ n: number }>("Ended", { durable: true });

/**
 * Number added to a schedule's number in the message that replaces the schedule. `THIRD`: in the message that
 * replaces the replacement.
 */
const SECOND = 1_000;
const THIRD = 2_000;
/** Time from the first call to the due moment, in ms; `AFTER`: time from the due moment to the last call. */
const BEFORE = 60;
const AFTER = 190;

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };

describe("a schedule that is replaced around its time", await requireNatsServer(), () => {
  type Way = (app: Catga, n: number, options: EnqueueOptions & PublishOptions) => ReturnType<Catga["enqueue"]>;
  const enqueue: Way = (app, n, options) => app.enqueue(Mail, { n }, options);
  const publish: Way = (app, n, options) => app.publish(Ended, { n }, options);

  for (const [name, category, schedule] of [["a command", "Mail", enqueue], ["an event", "Ended", publish]] as const) {
    it(`${name}: each that was ok fires once, unless a later one took its place`, slow, async () => {
      using wallClock = new WallClockWatch();
      await using server = await startNatsServer();
      await using app = await catga({ nats: server.url, logger: QUIET });
      await using other = await catga({ nats: server.url, logger: QUIET });
      const begin = await plan(server.url, category);
      const second: Outcome[] = [];
      const third: Outcome[] = [];
      await all(async (n) => {
        await wait(begin - BEFORE + spread(n) - Date.now());
        second[n] = await noted(1_500, (due) => {
          const options = n % 2 === 0 ? { delay: 1_500 } : { at: new Date(due) };
          return schedule(n % 3 === 0 ? other : app, n + SECOND, { id: `${n}`, ...options });
        });
      });
      await all(async (n) => {
        if (n % 10 > 0) return;
        third[n] = await noted(1_000, () => schedule(other, n + THIRD, { id: `${n}`, delay: 1_000 }));
      });
      const sure = numbers().map((n) => n % 10 > 0 ? second[n].ok && n + SECOND : third[n].ok && n + THIRD);
      const fired = await firings(server.url, sure.filter((n) => n !== false));
      for (const n of numbers()) {
        const [first, next, last] = [n, n + SECOND, n + THIRD].map((n) => fired.get(n) ?? []);
        assert(first.length <= 1 && next.length <= 1 && last.length <= 1, `${n} fired twice`);
        if (second[n].refused) assertEquals(next, [], `${n + SECOND} fired, and was not stored`);
        if (third[n]?.refused) assertEquals(last, [], `${n + THIRD} fired, and was not stored`);
        for (const time of next) notBefore(n + SECOND, time, second[n].due - wallClock.moved);
        for (const time of last) notBefore(n + THIRD, time, third[n].due - wallClock.moved);
        if (third[n]?.ok) {
          assert(next.every((time) => time <= third[n].until), `${n + SECOND} fired after it was replaced`);
        }
      }
    });
  }

  it("a cron: what takes its place fires once and not before its time, and the cron no more", slow, async () => {
    using wallClock = new WallClockWatch();
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    await all((n) => app.enqueue(Mail, { n }, { id: `${n}`, cron: "* * * * * *" }));
    await firings(server.url, numbers());
    const second = Math.ceil(Date.now() / 1_000 + 1) * 1_000;
    const outcomes: Outcome[] = [];
    await all(async (n) => {
      await wait(second - BEFORE + spread(n) - Date.now());
      outcomes[n] = await noted(2_500, () => enqueue(app, n + SECOND, { id: `${n}`, delay: 2_500 }));
    });
    const fired = await firings(server.url, numbers().filter((n) => outcomes[n].ok).map((n) => n + SECOND), {
      ms: 1_200,
    });
    for (const n of numbers()) {
      if (outcomes[n].refused) assert(!fired.has(n + SECOND), `${n + SECOND} fired, and was not stored`);
      if (!outcomes[n].ok) continue;
      const times = fired.get(n + SECOND)!;
      assertEquals(times.length, 1, `${n + SECOND} fired more than once`);
      notBefore(n + SECOND, times[0], outcomes[n].due - wallClock.moved);
      assert(fired.get(n)!.every((time) => time <= outcomes[n].until), `the cron ${n} fired after it was replaced`);
    }
  });

  it("by a cron: the cron fires again and again", slow, async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    const begin = await plan(server.url, "Mail");
    const outcomes: Outcome[] = [];
    await all(async (n) => {
      await wait(begin - BEFORE + spread(n) - Date.now());
      outcomes[n] = await noted(0, () => enqueue(app, n + SECOND, { id: `${n}`, cron: "* * * * * *" }));
    });
    const sure = numbers().filter((n) => outcomes[n].ok).map((n) => n + SECOND);
    await firings(server.url, sure);
    const fired = await firings(server.url, sure, { ms: 1_500 });
    assertEquals(sure.filter((n) => fired.get(n)!.length < 2), [], "a cron was lost");
    assert(numbers().every((n) => !outcomes[n].refused || !fired.has(n + SECOND)), "a cron fired, and was not stored");
    assertEquals(numbers().filter((n) => (fired.get(n) ?? []).length > 1), [], "fired more than once");
  });

  for (const servers of [1, 3]) {
    it(
      `taken back around its time, on ${servers} servers: it is either taken back or handled, never both`,
      slow,
      async () => {
        await using cluster = await startServers(servers);
        const { urls } = cluster;
        await using app = await catga({ nats: { servers: [...urls] }, replicas: servers, logger: QUIET });
        const begin = await plan(urls[0], "Mail", servers);
        const taken: (boolean | undefined)[] = [];
        await all(async (n) => {
          await wait(begin - BEFORE + spread(n) - Date.now());
          // `undefined` stands for an unknown outcome
          taken[n] = await app.unschedule(Mail, `${n}`).catch(() => undefined);
        });
        const fired = await firings(urls[0], numbers().filter((n) => taken[n] === false), {
          ms: 500,
          replicas: servers,
        });
        assertEquals(numbers().filter((n) => taken[n] === true && fired.has(n)), [], "taken back, and handled");
      },
    );
  }
});

/** Outcome of a call that stored a schedule. */
interface Outcome {
  readonly ok: boolean;
  /** True if the schedule was certainly not stored. */
  readonly refused: boolean;
  /** Earliest due time of the schedule, in ms since 1970; `until`: time at which the call ended. */
  readonly due: number;
  readonly until: number;
}

async function noted(after: number, call: (due: number) => ReturnType<Catga["enqueue"]>): Promise<Outcome> {
  const due = Date.now() + after; // the time is read before the call, which may take long on a busy machine
  const { ok, error } = await call(due);
  // errors that are allowed because the machine may stand still: the outcome is unknown, or nothing was sent
  const refused = error?.code === "UNAVAILABLE";
  assert(ok || refused || error!.code === "OUTCOME_UNKNOWN", error?.message);
  return { ok, refused, due: due - 1, until: Date.now() };
}

function notBefore(n: number, time: number, due: number): void {
  assert(time >= due, `${n} fired ${due - time} ms before its time`);
}

function numbers(): number[] {
  return Array.from({ length: COUNT }, (_, n) => n);
}

/** Returns the time of the nth call, in ms since the first one. */
function spread(n: number): number {
  return n / COUNT * (BEFORE + AFTER);
}

async function all(work: (n: number) => Promise<unknown> | undefined): Promise<void> {
  await Promise.all(numbers().map(work));
}

async function startServers(count: number): Promise<AsyncDisposable & { urls: readonly string[] }> {
  if (count > 1) return await startNatsCluster(count);
  const server = await startNatsServer();
  return { urls: [server.url], [Symbol.asyncDispose]: () => server.stop() };
}
