/**
 * Tests of publishing over a network in memory on which acknowledgements are lost, messages are late, and connections
 * break.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Catga, catga, event, type Result } from "../../../mod.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { readAll } from "../../../test/support/read_log.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { MemoryNetwork, VirtualClock } from "../../testing/mod.ts";

const CATEGORIES = ["Placed", "Paid"].map((name) =>
  event<{ n: number }>(name, { durable: true, key: ({ n }) => `${n % 7}` })
);

/** A message that was published; kept in the order of the calls. */
interface Published {
  readonly n: number;
  readonly category: string;
  readonly node: string;
  result?: Result<void>;
}

describe("publishing under faults", () => {
  for (let seed = 1; seed <= 25; seed++) {
    it(`seed ${seed}: each ok is stored once, what was not stored says so, and the order of a process is kept`, async () => {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed });
      const random = seededRandom(seed);
      const apps = await clock.until(Promise.all(["a", "b"].map((id) => catga({ network, id, logger: QUIET }))));
      network.faults = { lostAck: 0.05, delay: 400, cut: { every: 4_000, lasts: 3_000 } };
      const published: Published[] = [];
      const sent: Promise<unknown>[] = [];
      for (let round = 0; round < 150; round++) {
        for (let i = Math.floor(random() ** 3 * 30); i >= 0; i--) sent.push(publish(apps, published, random));
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
      const last = new Map<string, number>();
      for (const { n, category, node, result } of published) {
        const found = places.get(n) ?? [];
        const code = result!.ok ? "ok" : result!.error.code;
        codes.add(code);
        assert(found.length <= 1, `${n} is stored ${found.length} times: ${code}`);
        if (code === "ok") {
          assertEquals(found.length, 1, `${n} was ok, and is not stored`);
          const lane = `${node} ${category}`;
          assert(found[0] > (last.get(lane) ?? 0), `${n} of ${lane} overtook another`);
          last.set(lane, found[0]);
        } else if (code === "UNAVAILABLE") assertEquals(found, [], `${n} was UNAVAILABLE, and is stored`);
        else assert(code === "OUTCOME_UNKNOWN" || code === "CANCELLED", code);
      }
      assert(codes.has("ok") && codes.has("UNAVAILABLE"), [...codes].join(" "));
      assert([...places.values()].length > 300);
      await clock.until(Promise.all(apps.map((app) => app.drain())));
    });
  }
});

async function publish(apps: readonly Catga[], published: Published[], random: () => number): Promise<void> {
  const app = apps[Math.floor(random() * apps.length)];
  const contract = CATEGORIES[Math.floor(random() * CATEGORIES.length)];
  const n = published.length;
  const entry: Published = { n, category: contract.name, node: app.self.id };
  published.push(entry);
  const controller = random() < 0.1 ? new AbortController() : undefined;
  const result = app.publish(contract, { n }, {
    timeout: Math.ceil(50 + random() ** 2 * 20_000),
    ...(random() < 0.1 ? { id: `id ${n}` } : {}),
    ...(controller === undefined ? {} : { signal: controller.signal }),
  });
  if (controller !== undefined) app.clock.after(random() * 2_000, () => controller.abort());
  entry.result = await result;
}
