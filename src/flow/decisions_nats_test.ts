/**
 * Tests, with a NATS server that is some ms away, that a run sees each signal, cancel and skipped step that was
 * answered with ok, whenever it was sent.
 */
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import process from "node:process";
import { type Catga, catga, unwrap, workflow } from "@catga/catga";
import { delay, systemClock } from "../ports/clock.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { infoOf } from "./run_suite.ts";

/** Number of runs for each latency and each kind; `CATGA_DECISIONS=223` makes about 2,000 in all. */
const RUNS = Number(process.env.CATGA_DECISIONS ?? 20);
/** Number of runs that are tested at once. */
const TOGETHER = 10;
const LATENCIES = [1, 5, 20]; // ms to the server

const Cancelled = workflow<void, string>("Cancelled");
const Skipped = workflow<void, string>("Skipped");
const Told = workflow<void, number[]>("Told");
const Item = Told.signal<number>("Item");
/** Duration of a step or a wait, in ms. */
const LENGTH = 40;

const pause = (ms: number) => delay(systemClock, ms);

const handlers = [
  Cancelled.handle(async (flow) => {
    const undo = () => {};
    await Promise.all([
      flow.step("charge", () => pause(LENGTH), { undo }),
      flow.step("ship", () => pause(LENGTH + 2), { undo }),
    ]);
    return "shipped";
  }),
  Skipped.handle(async (flow) =>
    await flow.step("upload", async () => {
      await pause(LENGTH);
      return "own";
    })
  ),
  Told.handle(async (flow) => {
    const items: number[] = [];
    while (true) {
      const item = await flow.wait(Item, { timeout: LENGTH });
      if (item === undefined) return items;
      items.push(item);
    }
  }),
];

/**
 * Tests one run of each kind, with a cancel, a skip and a signal after `moment` ms. Returns how many of these
 * operations were answered with ok, and which of those the run did not see.
 */
async function play(client: Catga, name: string, moment: number) {
  const ids = [`${name}-cancelled`, `${name}-skipped`, `${name}-told`];
  unwrap(await client.start(Cancelled, undefined, { id: ids[0] }));
  unwrap(await client.start(Skipped, undefined, { id: ids[1] }));
  unwrap(await client.start(Told, undefined, { id: ids[2] }));
  await pause(moment);
  const skip = async () => {
    for await (const run of client.runs({ id: ids[1] })) await run.skip("upload", "skipped", "enough");
  };
  const [cancelled, skipped, told] = await Promise.all([
    client.cancel(Cancelled, ids[0], "enough"),
    skip().then(() => true, () => false),
    client.tell(Item, ids[2], 7),
  ]);
  const results = await Promise.all([
    client.result(Cancelled, ids[0], { timeout: 60_000 }),
    client.result(Skipped, ids[1], { timeout: 60_000 }),
    client.result(Told, ids[2], { timeout: 60_000 }),
  ]);
  const isSkipped = skipped && (await infoOf(client, ids[1])).timeline.some(({ type }) => type === "skipped");
  const unseen = [
    ...(cancelled.ok && results[0].ok ? ["cancel"] : []),
    ...(isSkipped && results[1].value !== "skipped" ? ["skip"] : []),
    ...(told.ok && !(results[2].value as number[]).includes(7) ? ["signal"] : []),
  ];
  return { ok: [cancelled.ok, skipped, told.ok].filter(Boolean).length, unseen };
}

describe("a cancel, a skip and a signal that are ok", await requireNatsServer(), () => {
  for (const ms of LATENCIES) {
    it(
      `are seen by a run whose driver is ${ms} ms away from its server (up to 82 of 194 were not)`,
      { timeout: 300_000 },
      async () => {
        await using server = await startNatsServer();
        await using proxy = await startTcpProxy(server.port);
        await using _driver = await catga({ nats: proxy.url, handlers, logger: QUIET });
        await using client = await catga({ nats: server.url, logger: QUIET });
        proxy.delay(ms);
        let ok = 0;
        const unseen: string[] = [];
        for (let first = 0; first < RUNS; first += TOGETHER) {
          const some = Array.from({ length: TOGETHER }, (_, i) => {
            // operations are sent at moments from the middle of the step until after its end is stored
            const moment = LENGTH / 2 + ((first + i) * 7_919 % 1_000) / 1_000 * (LENGTH + 4 * ms);
            return play(client, `${ms}-${first + i}`, moment);
          });
          for (const played of await Promise.all(some)) {
            ok += played.ok;
            unseen.push(...played.unseen);
          }
        }
        assertEquals(unseen, []);
        assertGreater(ok, 0, "nothing was told to any run");
      },
    );
  }
});
