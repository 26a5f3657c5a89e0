import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Category, OpenItem } from "./category.ts";
import { RecordedRuns } from "./recorded_runs.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const SUBSCRIPTION = { service: "shop", name: "billing" };
const CATEGORY = new Category(SUBSCRIPTION, "Placed", DEFAULT_SETTINGS, { floor: 0, timeout: 1_000 });

function item(position: number): OpenItem {
  const message = { position, category: "Placed", id: `${position}`, payload: 0, tagged: false, time: 0 };
  return new OpenItem({ ...message, key: undefined, meta: undefined }, CATEGORY, 0);
}

function setUp() {
  const writes: ((stored: boolean) => void)[] = [];
  const ran: number[] = [];
  const failed: number[] = [];
  const runs = new RecordedRuns({
    record: () => new Promise((resolve) => writes.push(resolve)),
    run: ({ message: { position } }) => ran.push(position),
    onFailed: (items) => failed.push(...items.map(({ message: { position } }) => position)),
  });
  const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
  return { runs, writes, ran, failed, turn };
}

describe("RecordedRuns", () => {
  it("run when they are recorded: one write for all that have come meanwhile", async () => {
    const { runs, writes, ran, turn } = setUp();
    const first = item(1);
    runs.begin(first);
    assertEquals([first.attempts, first.running], [1, true]);
    runs.begin(item(2));
    await turn();
    assertEquals([writes.length, ran], [1, []]);
    for (const position of [3, 4]) runs.begin(item(position));
    writes[0](true);
    await turn();
    assertEquals([writes.length, ran], [2, [1, 2]]);
    writes[1](true);
    await turn();
    runs.begin(item(5));
    await turn();
    assertEquals([writes.length, ran], [3, [1, 2, 3, 4]]);
  });

  it("do not run when they are not recorded, or it is over", async () => {
    const { runs, writes, ran, failed, turn } = setUp();
    runs.begin(item(1));
    await turn();
    writes[0](false);
    await turn();
    assertEquals([ran, failed], [[], [1]]);
    runs.begin(item(2));
    await turn();
    runs.close();
    writes[1](true);
    await turn();
    assertEquals([ran, failed], [[], [1]]);
  });
});
