/** Tests of the promises that followers of a durable event make, in memory and over NATS. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, CatgaError, entity, event, type FollowedEvent, type Schema, unwrap } from "../../../mod.ts";

/** An app whose log contains only messages that the test stores. */
export interface FollowingHarness extends AsyncDisposable {
  readonly app: Catga;
}

export const Placed = event<{ n: number }, { n: number }>("Placed", {
  durable: true,
  key: ({ n }) => `${n % 2}`,
});
const Other = event<{ n: number }>("Other", { durable: true });

/** Reads `count` events, then ends the iteration. */
export async function take<T>(
  events: AsyncIterableIterator<FollowedEvent<T>>,
  count: number,
): Promise<FollowedEvent<T>[]> {
  const taken: FollowedEvent<T>[] = [];
  while (taken.length < count) {
    const { done, value } = await events.next();
    if (done) break;
    taken.push(value);
  }
  await events.return?.();
  return taken;
}

const numbers = (events: readonly FollowedEvent<{ n: number }>[]) => events.map(({ payload }) => payload.n);

export function followingSuite(name: string, options: object, start: () => Promise<FollowingHarness>): void {
  const publish = async (app: Catga, from: number, to: number) => {
    for (let n = from; n <= to; n++) {
      unwrap(await app.publish(Placed, { n }, { headers: { trace: `t-${n}` } }));
      unwrap(await app.publish(Other, { n }));
    }
  };

  describe(`follow: ${name}`, options, () => {
    it("events come in the order of their positions, each once, from the start, a position, a time and now", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 20);
      const all = await take(app.follow(Placed, { from: "start" }), 20);
      assertEquals(numbers(all), Array.from({ length: 20 }, (_, i) => i + 1));
      assert(all.every(({ position }, i) => i === 0 || position > all[i - 1].position));
      const { key, headers, stored, id } = all[4];
      assertEquals([key, headers.trace, stored instanceof Date, id !== ""], ["1", "t-5", true, true]);
      assertEquals(numbers(await take(app.follow(Placed, { from: all[9].position }), 10)), numbers(all.slice(10)));
      assertEquals(numbers(await take(app.follow(Placed, { from: new Date(0) }), 20)), numbers(all));
      const now = app.follow(Placed);
      const first = now.next();
      while (now.position === undefined) await app.clock.sleep(1);
      await publish(app, 21, 22);
      assertEquals((await first).value?.payload.n, 21);
      assertEquals(numbers(await take(now, 1)), [22]);
    });

    it("key: the others are passed over, and the position moves behind them", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 9);
      const follower = app.follow(Placed, { from: "start", key: "0" });
      assertEquals(numbers(await take(follower, 4)), [2, 4, 6, 8]);
      assert(follower.position! > 0);
    });

    it("many followers of one event get all of them, whenever they began", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 10);
      const followers = Array.from({ length: 50 }, () => take(app.follow(Placed, { from: "start" }), 30));
      await publish(app, 11, 20);
      followers.push(...Array.from({ length: 50 }, () => take(app.follow(Placed, { from: "start" }), 30)));
      await publish(app, 21, 30);
      for (const events of await Promise.all(followers)) {
        assertEquals(numbers(events), Array.from({ length: 30 }, (_, i) => i + 1));
      }
    });

    it("a follower that is further behind than what is kept in memory reads the store, and loses nothing", async () => {
      await using harness = await start();
      const { app } = harness;
      unwrap(await app.publish(Placed, { n: 0 }));
      const slow = app.follow(Placed, { from: "start" });
      const quick = app.follow(Placed, { from: "start" });
      assertEquals((await slow.next()).value?.payload.n, 0);
      const count = 5_000;
      const seen = take(quick, count + 1);
      // every third publish is awaited, so that few events share a message of the stream
      for (let n = 1; n <= count; n++) {
        const stored = app.publish(Placed, { n });
        if (n % 3 === 0) unwrap(await stored);
      }
      assertEquals((await seen).length, count + 1);
      assertEquals(numbers(await take(slow, count)), Array.from({ length: count }, (_, i) => i + 1));
    });

    it("events of an entity are followed, too, those of one by its key", async () => {
      await using harness = await start();
      const { app } = harness;
      const Cup = entity("Cup", { initial: () => 0 });
      const Filled = Cup.event<{ ml: number }>("Filled", (sum, { ml }) => sum + ml);
      // no event of the entity Cup was ever emitted
      const filled = app.follow(Filled, { key: "a" });
      const first = filled.next();
      while (filled.position === undefined) await app.clock.sleep(1);
      await filled.return?.();
      assertEquals((await first).done, true);
    });

    it("an event that does not fit the schema ends the follower, and the error says how to pass it over", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 3);
      const odd: Schema<{ n: number }> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) => {
            const { n } = value as { n: number };
            return n === 2 ? { issues: [{ message: "even" }] } : { value: { n: n * 10 } };
          },
        },
      };
      const Strict = event("Placed", { durable: true, input: odd });
      const follower = app.follow(Strict, { from: "start" });
      assertEquals((await follower.next()).value?.payload.n, 10);
      const error = await assertRejects(() => follower.next(), CatgaError, "follow from");
      const { position } = error.details as { position: number };
      assertEquals([error.code, (await follower.next()).done], ["INVALID_MESSAGE", true]);
      assertEquals(numbers(await take(app.follow(Strict, { from: position }), 1)), [30]);
    });

    it("a position behind the end of the log is LOG_MISMATCH, and says from where it may go on", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 2);
      const [last] = (await take(app.follow(Placed, { from: "start" }), 2)).slice(-1);
      const error = await assertRejects(
        () => app.follow(Placed, { from: last.position + 1_024 * 100 }).next(),
        CatgaError,
        "the log has lost its end",
      );
      assertEquals(error.code, "LOG_MISMATCH");
      const follower = app.follow(Placed, { from: (error.details as { position: number }).position });
      await publish(app, 3, 3);
      assertEquals(numbers(await take(follower, 1)), [3]);
    });

    it("it ends when it is left, when its signal aborts, and when the app drains", async () => {
      await using harness = await start();
      const { app } = harness;
      await publish(app, 1, 1);
      const stop = new AbortController();
      const [left, aborted, drained] = [undefined, stop.signal, undefined].map((signal) =>
        app.follow(Placed, { signal })
      );
      const ends = [left, aborted, drained].map((follower) => follower.next());
      await left.return?.();
      stop.abort();
      assertEquals([(await ends[0]).done, (await ends[1]).done], [true, true]);
      await app.drain();
      assertEquals((await ends[2]).done, true);
    });
  });
}
