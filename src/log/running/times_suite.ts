/**
 * Tests of the times of durable messages, as handlers, batches, followers and operators get them: in memory and over
 * NATS.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, command, type Context, event, fail, type Handler, unwrap } from "../../../mod.ts";
import { eventually } from "../../../test/support/eventually.ts";

/** Starts an app with these handlers, whose log contains only messages that the test stores. */
export type TimesHarness = (handlers: readonly Handler[]) => Promise<{ readonly app: Catga } & AsyncDisposable>;

const Placed = event<{ n: number }>("Placed", { durable: true, key: () => "k" });
const Sweep = command("Sweep", { durable: true });

type Times = Pick<Context, "stored" | "due">;
const timesOf = ({ stored, due }: Times): Times => ({ stored, due });

export function timesSuite(name: string, options: object, start: TimesHarness): void {
  describe(`times of durable messages: ${name}`, options, () => {
    it("stored: the same for a handler, one of two, a batch, a read model, a dead letter and a follower", async () => {
      const seen = new Map<string, Times>();
      await using harness = await start([
        Placed.on((_, ctx) => void seen.set("single", timesOf(ctx)), { name: "single" }),
        Placed.on((_, ctx) => void seen.set("first of two", timesOf(ctx)), { name: "two" }),
        Placed.on((_, ctx) => void seen.set("second of two", timesOf(ctx)), { name: "two" }),
        Placed.onBatch((batch) => void seen.set("batch", timesOf(batch[0])), { name: "batch" }),
        Placed.on((_, ctx) => void seen.set("read model", timesOf(ctx)), { each: "node", name: "model" }),
        Placed.on(() => fail("NO", "no", { final: true }), { name: "dead" }),
      ]);
      const { app } = harness;
      const before = Date.now();
      unwrap(await app.publish(Placed, { n: 1 }));
      const { value: followed } = await app.follow(Placed, { from: "start" }).next();
      seen.set("follower", timesOf(followed!));
      await eventually("the letter", async () => {
        for await (const letter of app.deadLetters()) seen.set("dead letter", timesOf(letter));
        return seen.size === 7;
      });
      const { stored } = followed!;
      assert(Math.abs(stored.getTime() - before) < 60_000, `${stored}`);
      for (const [who, times] of seen) assertEquals([who, times], [who, { stored, due: undefined }]);
    });

    it("due: of a message with `at` the time that it was given, however late it comes", async () => {
      const seen = new Map<string, Times>();
      await using harness = await start([
        Placed.on((_, ctx) => void seen.set("single", timesOf(ctx)), { name: "single" }),
        Placed.onBatch((batch) => void seen.set("batch", timesOf(batch[0])), { name: "batch" }),
        Placed.on(() => fail("NO", "no", { final: true }), { name: "dead" }),
      ]);
      const { app } = harness;
      const at = new Date(Date.now() + 1_500);
      unwrap(await app.publish(Placed, { n: 1 }, { at }));
      const { value: followed } = await app.follow(Placed, { from: "start" }).next();
      seen.set("follower", timesOf(followed!));
      await eventually("the letter", async () => {
        for await (const letter of app.deadLetters()) seen.set("dead letter", timesOf(letter));
        return seen.size === 4;
      });
      const { stored, due } = followed!;
      // the due time is converted to the server's clock, whose reading is uncertain by the time that an answer takes
      assert(due !== undefined && Math.abs(due.getTime() - at.getTime()) < 1_000, `${due?.toISOString()}`);
      assert(stored >= due);
      for (const [who, times] of seen) assertEquals([who, times], [who, { stored, due }]);
    });

    it("due: of a cron the time that each firing is for, in whole seconds", async () => {
      const seen: Times[] = [];
      await using harness = await start([Sweep.handle((_, ctx) => void seen.push(timesOf(ctx)))]);
      const { app } = harness;
      unwrap(await app.enqueue(Sweep, undefined, { id: "every", cron: "* * * * * *", zone: "Europe/Berlin" }));
      const late = ({ stored, due }: Times) => stored!.getTime() - due!.getTime();
      // on a busy machine a firing may be late, but not each
      await eventually(
        "two firings, one within its second",
        () => seen.length >= 2 && seen.some((t) => late(t) < 1_000),
      );
      await app.unschedule(Sweep, "every");
      for (const times of seen) {
        assertEquals(times.due!.getTime() % 1_000, 0);
        assert(late(times) >= 0, `${late(times)}`);
      }
      assertEquals(new Set(seen.map(({ due }) => due!.getTime())).size, seen.length);
    });

    it("neither for what is not durable", async () => {
      const seen: Times[] = [];
      const Ask = command("Ask");
      await using harness = await start([Ask.handle((_, ctx) => void seen.push(timesOf(ctx)))]);
      unwrap(await harness.app.send(Ask));
      assertEquals(seen, [{ stored: undefined, due: undefined }]);
    });
  });
}
