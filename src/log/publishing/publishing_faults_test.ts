/**
 * Tests of publishing over a network in memory on which acknowledgements are lost, messages are late, and connections
 * break.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Catga, catga, event, type Result } from "../../../mod.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { PublishOrder } from "../../../test/support/publish_order.ts";
import { readAll } from "../../../test/support/read_log.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { MemoryNetwork, VirtualClock } from "../../testing/mod.ts";

const keyOf = (n: number) => `${n % 7}`;
const CATEGORIES = ["Placed", "Paid"].map((name) =>
  event<{ n: number }>(name, { durable: true, key: ({ n }) => keyOf(n) })
);

/** A message that was published; kept in the order of the calls. */
interface Published {
  readonly n: number;
  readonly category: string;
  readonly node: string;
  /** True if the program gave the message an id. */
  readonly ownId: boolean;
  result?: Result<void>;
}

describe("publishing under faults", () => {
  for (let seed = 1; seed <= 35; seed++) {
    // the last seeds publish mostly messages that are sent side by side, and wait for those of their own key alone
    const ownIds = seed <= 25 ? 0.1 : 0.7;
    it(`seed ${seed}: each ok is stored once, what was not stored says so, and the order of a process is kept`, async () => {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed });
      const random = seededRandom(seed);
      const apps = await clock.until(Promise.all(["a", "b"].map((id) => catga({ network, id, logger: QUIET }))));
      network.faults = { lostAck: 0.05, delay: 400, cut: { every: 4_000, lasts: 3_000 } };
      const published: Published[] = [];
      const sent: Promise<unknown>[] = [];
      for (let round = 0; round < 150; round++) {
        for (let i = Math.floor(random() ** 3 * 30); i >= 0; i--) sent.push(publish(apps, published, random, ownIds));
        await clock.advance(random() * 200);
      }
      network.faults = {};
      await clock.until(Promise.all(sent), 200_000);
      const stored = await clock.until(readAll(network.log));
      const places = new Map<number, number[]>();
      for (const { payload, position } of stored) {
        const { n } = payload as { n: number };
        places.set(n, [...places.get(n) ?? [], position]);
      }
      const codes = new Set<string>();
      const orders = new Map<string, PublishOrder>();
      for (const { n, category, node, ownId, result } of published) {
        const found = places.get(n) ?? [];
        const code = result!.ok ? "ok" : result!.error.code;
        codes.add(code);
        assert(found.length <= 1, `${n} is stored ${found.length} times: ${code}`);
        if (code === "ok") {
          assertEquals(found.length, 1, `${n} was ok, and is not stored`);
          const lane = `${node} ${category}`;
          const order = orders.get(lane) ?? new PublishOrder();
          orders.set(lane, order);
          assert(order.add({ key: keyOf(n), ownId, position: found[0] }), `${n} of ${lane} overtook another`);
        } else if (code === "UNAVAILABLE") assertEquals(found, [], `${n} was UNAVAILABLE, and is stored`);
        else assert(code === "OUTCOME_UNKNOWN" || code === "CANCELLED", code);
      }
      assert(codes.has("ok") && codes.has("UNAVAILABLE"), [...codes].join(" "));
      assert([...places.values()].length > 300);
      await clock.until(Promise.all(apps.map((app) => app.drain())));
    });
  }
});

/** Publishes a message with options by chance. `ownIds`: probability that the message has an id of the program. */
async function publish(
  apps: readonly Catga[],
  published: Published[],
  random: () => number,
  ownIds: number,
): Promise<void> {
  const app = apps[Math.floor(random() * apps.length)];
  const contract = CATEGORIES[Math.floor(random() * CATEGORIES.length)];
  const n = published.length;
  const controller = random() < 0.1 ? new AbortController() : undefined;
  const timeout = Math.ceil(50 + random() ** 2 * 20_000);
  const ownId = random() < ownIds;
  const entry: Published = { n, category: contract.name, node: app.self.id, ownId };
  published.push(entry);
  const result = app.publish(contract, { n }, {
    timeout,
    ...(ownId ? { id: `id ${n}` } : {}),
    ...(controller === undefined ? {} : { signal: controller.signal }),
  });
  if (controller !== undefined) app.clock.after(random() * 2_000, () => controller.abort());
  entry.result = await result;
}
