/**
 * Tests that a live node in memory goes on as before whatever anybody publishes to it; malformed_traffic_test.ts has
 * such tests on NATS.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { command, event, query } from "../../contract/declaration/definition.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { mangled } from "../../../test/support/mangled.ts";
import { openStage } from "../../../test/support/stage.ts";

const Echo = query<unknown, unknown>("Echo");
const Later = query<unknown, unknown>("Later");
const Told = event<unknown>("Told");

describe("a claim of an idempotent command that names no process", () => {
  it("is not pinged on a subject of its making: it counts as a process that does not answer", async () => {
    const Once = command<number, number>("Once", { idempotent: true });
    await using stage = await openStage({ handlers: Once.handle((n) => n) });
    const { app, clock, network, published, log } = stage;
    assertEquals((await clock.until(app.send(Once, 1, { id: "a" }), 1_000)).value, 1);
    const bucket = await network.store.open("catga_default_idempotency");
    const [{ key, value }] = await bucket.entries("");
    const { fingerprint } = JSON.parse(value);
    for (const endpoint of ["x.>", "a b.c", "a.b.c", "nobody", "\n.\n"]) {
      const claim = { state: "running", fingerprint, nonce: "forged", endpoint };
      await bucket.put(key, JSON.stringify(claim), { ttl: 3_600_000 });
      published.length = 0;
      const { error } = await clock.until(app.send(Once, 1, { id: "a", timeout: 3_000 }), 10_000);
      assertEquals(error?.code, "OUTCOME_UNKNOWN");
      assertEquals(published.filter((subject) => subject.includes(endpoint)), []);
    }
    assertEquals(log.filter((line) => line.startsWith("error")), []);
  });
});

describe("a live node in memory", () => {
  for (const seed of [1, 2]) {
    it(
      `answers as before after 1,000 malformed messages on each of its subjects: seed ${seed}`,
      { timeout: 300_000 },
      async () => {
        const told: unknown[] = [];
        await using stage = await openStage({
          handles: ["There"],
          handlers: [
            Echo.handle((payload) => payload),
            Later.handle((payload) => Promise.resolve(payload)),
            Told.on((payload) => told.push(payload)),
          ],
        });
        const { app, other, clock, network, settle } = stage;
        const There = query<unknown, unknown>("There");
        other.answerWith((_, payload) => payload);
        const faults: unknown[] = [];
        const random = seededRandom(seed);
        const hostile = network.connect({ onError: (error) => faults.push(error) });
        const own = app.self.endpoint;
        const senders = [
          "forged.1",
          "other.2",
          own,
          "a",
          "a.b.c",
          "x".repeat(300),
          `${"y".repeat(64)}.1`,
          "__proto__.1",
        ];
        const subjects = [
          () => `node.${own}.${senders[Math.floor(random() * senders.length)]}`,
          () => `node.${own}.forged.${Math.floor(random() * 1e6)}`,
          () => `bounce.${own}.${Math.floor(random() * 4)}.${Math.floor(random() * 4)}`,
          () => `bounce.${own}.${senders[Math.floor(random() * senders.length)]}`,
          () => "event.Told",
        ];
        const waiting = app.send(There, "asked before", { node: "other" });
        for (let i = 0; i < 1_000; i++) {
          for (const subject of subjects) {
            const reply = random() < 0.1 ? `catga.default.node.${own}.forged.1` : undefined;
            hostile.publish(`catga.default.${subject()}`, mangled(random), {
              ...(reply === undefined ? {} : { reply }),
              ...(random() < 0.1 ? { headers: { Status: "503", "Nats-Msg-Id": "x" } } : {}),
            });
          }
          if (i % 100 === 0) await settle();
        }
        await settle();

        assertEquals((await clock.until(waiting, 100)).value, "asked before");
        const seq = other.send(own, ["q", "Echo", 1_000, 1], ["q", "Later", 1_000, 2]);
        await settle();
        // the two answers may come as one item or as two items
        const answers = other.items("r").filter(([, of]) => of === seq).flatMap(([, , , ...values]) => values);
        assertEquals(answers, [1, 2]);
        assertEquals((await clock.until(app.send(There, "asked after"), 100)).value, "asked after");
        told.length = 0;
        await app.publish(Told, "told after");
        await settle();
        assertEquals(told, ["told after"]);

        await clock.advance(2_000); // after 2 s the deadlines of all accepted hostile requests have passed
        assertEquals([app.self.load.inFlight, app.nodes().map(({ id }) => id), faults], [0, ["node", "other"], []]);
        assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
        assertEquals(
          stage.log.filter((line) => line.includes("malformed")).length,
          1,
          "told of more than once a minute",
        );
        await clock.until(app.drain());
        const lines = stage.log.filter((line) => line.includes("malformed"));
        assert(Number(/dropped (\d+)/.exec(lines[1])?.[1]) > 2_000, lines.join("\n"));
        assertEquals(({} as { a?: unknown }).a, undefined);
      },
    );
  }
});
