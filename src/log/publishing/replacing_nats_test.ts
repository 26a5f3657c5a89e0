/** Schedules that are replaced, or taken back, while a real server fires them. */
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, command, type EnqueueOptions, event, type PublishOptions } from "../../../mod.ts";
import { NatsEventLog } from "../../nats/event_log.ts";
import { openTransport } from "../../nats/harness_suite.ts";
import type { NatsTransport } from "../../nats/transport.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { readAll } from "../../../test/support/read_log.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { groupText, itemText } from "../format/group.ts";
import { categorySubject, logName, logSubjects, scheduleSubject } from "../format/names.ts";

const Mail = command<{ n: number }>("Mail", { durable: true });
const Ended = event<{ n: number }>("Ended", { durable: true });

/** Schedules that are made for one moment, and the numbers that their replacements add to their own. */
const COUNT = 240;
const SECOND = 1_000;
const THIRD = 2_000;
/** Others that are due at the same moment: the server has them all in its hand at once, and fires one after the other. */
const CROWD = 3_000;
/** Around the due moment, in ms. */
const BEFORE = 60;
const AFTER = 190;

/** Bun ends a test after 5 s. */
const slow = { timeout: 300_000 };

describe("a schedule that is replaced around its time", await requireNatsServer(), () => {
  type Way = (app: Catga, n: number, options: EnqueueOptions & PublishOptions) => ReturnType<Catga["enqueue"]>;
  const enqueue: Way = (app, n, options) => app.enqueue(Mail, { n }, options);
  const publish: Way = (app, n, options) => app.publish(Ended, { n }, options);

  for (const [name, category, schedule] of [["a command", "Mail", enqueue], ["an event", "Ended", publish]] as const) {
    it(`${name}: each that was ok fires once, unless a later one took its place`, slow, async () => {
      await using server = await startNatsServer();
      await using app = await catga({ nats: server.url, logger: QUIET });
      await using other = await catga({ nats: server.url, logger: QUIET });
      const begin = await plan(server.url, category);
      const due = new Map<number, number>();
      await all(async (n) => {
        await wait(begin - BEFORE + spread(n) - Date.now());
        const options = n % 2 === 0 ? { delay: 1_500 } : { at: new Date(Date.now() + 1_500) };
        due.set(n + SECOND, Date.now() + 1_500);
        await ok(schedule(n % 3 === 0 ? other : app, n + SECOND, { id: `${n}`, ...options }));
      });
      await all((n) => n % 10 === 0 ? ok(schedule(other, n + THIRD, { id: `${n}`, delay: 1_000 })) : undefined);
      const expected = numbers().map((n) => n % 10 === 0 ? n + THIRD : n + SECOND);
      const fired = await eventually("each to fire", async () => {
        const counts = countsOf(await stored(server.url));
        return expected.every((n) => counts.has(n)) ? counts : undefined;
      }).catch(async () => countsOf(await stored(server.url)));
      assertEquals(expected.filter((n) => !fired!.has(n)), [], "ok, and never fired");
      await wait(500);
      const messages = await stored(server.url);
      const wrong = [...countsOf(messages)].filter(([n, count]) => count > 1 || (n >= SECOND && !expected.includes(n)));
      assertEquals(wrong, [], "fired more than once, or after it was replaced");
      for (const { payload, time } of messages) {
        const at = due.get((payload as { n: number } | null)?.n ?? 0);
        if (at !== undefined) assertGreater(time, at - 1, "before its time");
      }
    });
  }

  it("a cron: what takes its place fires once and not before its time, and the cron no more", slow, async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    await all((n) => ok(app.enqueue(Mail, { n }, { id: `${n}`, cron: "* * * * * *" })));
    await eventually("the first firings", async () => countsOf(await stored(server.url)).size === COUNT);
    const second = Math.ceil(Date.now() / 1_000 + 1) * 1_000;
    const due = new Map<number, number>();
    await all(async (n) => {
      await wait(second - BEFORE + spread(n) - Date.now());
      due.set(n + SECOND, Date.now() + 2_500);
      await ok(app.enqueue(Mail, { n: n + SECOND }, { id: `${n}`, delay: 2_500 }));
    });
    const before = countsOf(await stored(server.url));
    const expected = numbers().map((n) => n + SECOND);
    await eventually("each to fire", async () => {
      const counts = countsOf(await stored(server.url));
      return expected.every((n) => counts.has(n));
    }).catch(() => {});
    await wait(1_200); // a cron would fire again
    const messages = await stored(server.url);
    const counts = countsOf(messages);
    assertEquals(expected.filter((n) => counts.get(n) !== 1), [], "did not fire exactly once");
    assertEquals(numbers().filter((n) => counts.get(n) !== before.get(n)), [], "the cron fired after it was replaced");
    for (const { payload, time } of messages) {
      const at = due.get((payload as { n: number } | null)?.n ?? 0);
      if (at !== undefined) assertGreater(time, at - 1, "before its time");
    }
  });

  it("taken back around its time: it is either taken back or handled, never both", slow, async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    const begin = await plan(server.url, "Mail", 4 * CROWD);
    const taken: boolean[] = [];
    await all(async (n) => {
      await wait(begin - BEFORE + spread(n) - Date.now());
      taken[n] = await app.unschedule(Mail, `${n}`);
    });
    const handled = () => stored(server.url).then(countsOf);
    const gone = numbers().filter((n) => !taken[n]);
    await eventually("the others to fire", async () => {
      const counts = await handled();
      return gone.every((n) => counts.has(n));
    });
    assertEquals([...(await handled()).keys()].sort((a, b) => a - b), gone);
    assertGreater(gone.length, 0);
  });

  it("by a cron: the cron fires again and again", slow, async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    const begin = await plan(server.url, "Mail");
    await all(async (n) => {
      await wait(begin - BEFORE + spread(n) - Date.now());
      await ok(app.enqueue(Mail, { n: n + SECOND }, { id: `${n}`, cron: "* * * * * *" }));
    });
    await eventually("each to fire twice", async () => {
      const counts = countsOf(await stored(server.url));
      return numbers().every((n) => (counts.get(n + SECOND) ?? 0) >= 2);
    }).catch(() => {});
    const counts = countsOf(await stored(server.url));
    assertEquals(numbers().filter((n) => (counts.get(n + SECOND) ?? 0) < 2), [], "a cron was lost");
    assertEquals(numbers().filter((n) => (counts.get(n) ?? 0) > 1), [], "fired more than once");
  });
});

/**
 * Schedules {@link COUNT} messages, and a crowd before them, for one moment, to the ms, which it returns: as a publisher writes them, who
 * cannot hit a ms.
 */
async function plan(url: string, category: string, others = CROWD): Promise<number> {
  const transport = await openTransport(url);
  try {
    const stream = await openLog(transport);
    const due = Math.floor(stream.serverTime) + 2_500;
    const make = async (of: string, n: number, payload: unknown) => {
      const head = { endpoint: "test.1", first: n, sentAt: 0, keep: undefined, schedule: { id: `${n}`, due } };
      const item = itemText({ text: JSON.stringify(payload), key: undefined, id: undefined, meta: undefined });
      const schedule = { at: due, target: categorySubject("default", of) };
      const subject = scheduleSubject("default", of, `${n}`);
      const appended = await stream.append(subject, groupText(head, item), { timeout: 10_000, schedule });
      assertEquals(appended.type, "stored");
    };
    await Promise.all(Array.from({ length: others }, (_, n) => make("Crowd", n, null)));
    await all((n) => make(category, n, { n }));
    return due;
  } finally {
    await transport.close();
  }
}

function numbers(): number[] {
  return Array.from({ length: COUNT }, (_, n) => n);
}

/** Ms from the beginning of the sweep. */
function spread(n: number): number {
  return n / COUNT * (BEFORE + AFTER);
}

async function all(work: (n: number) => Promise<unknown> | undefined): Promise<void> {
  await Promise.all(numbers().map(work));
}

async function ok(result: ReturnType<Catga["enqueue"]>): Promise<void> {
  const { error } = await result;
  if (error !== undefined) throw error;
}

function countsOf(messages: Awaited<ReturnType<typeof readAll>>): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { payload } of messages) {
    if (payload === null) continue; // of the crowd
    const { n } = payload as { n: number };
    counts.set(n, (counts.get(n) ?? 0) + 1);
  }
  return counts;
}

/** All that the log of a server has. */
async function stored(url: string): ReturnType<typeof readAll> {
  const transport = await openTransport(url);
  try {
    return await readAll(new NatsEventLog(transport));
  } finally {
    await transport.close();
  }
}

async function openLog(transport: NatsTransport): Promise<LogStream> {
  return await new NatsEventLog(transport).open(logName("default"), {
    subjects: logSubjects("default"),
    replicas: 1,
    schedules: true,
  });
}
