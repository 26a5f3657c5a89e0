import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Sent } from "./load.ts";
import { paintWith, visibleLength } from "./paint.ts";
import { draw, paceOf, type Picture } from "./picture.ts";

function sent(sentAt: number, endedAt: number, code?: string): Sent {
  return { messageId: `at ${sentAt}`, sentAt, placedAt: sentAt, endedAt, ...(code === undefined ? {} : { code }) };
}

describe("paceOf", () => {
  it("counts what succeeded in the last second, and in steps from the beginning", () => {
    const all = [sent(0, 100, "ok"), sent(0, 250, "ok"), sent(900, 1_300, "ok"), sent(950, 1_350, "OUTCOME_UNKNOWN")];
    const { rate, p50, p99, steps } = paceOf([...all, sent(1_300, 1_300)], 0, 1_399);
    assertEquals({ rate, p50, p99 }, { rate: 1, p50: 400, p99: 400 });
    assertEquals(steps.map(({ rate, trouble }) => [rate, trouble]), [
      [5, false],
      [5, false],
      [0, false],
      [0, false],
      [0, false],
      [0, false],
    ]);
  });

  it("marks a step in which an order failed", () => {
    assertEquals(paceOf([sent(0, 250, "OUTCOME_UNKNOWN")], 0, 600).steps.map(({ trouble }) => trouble), [
      false,
      true,
      false,
    ]);
  });
});

describe("draw", () => {
  const picture: Picture = {
    title: "3 processes, a runtime, nats-server",
    elapsed: 12_345,
    nodes: ["node-1", "node-2"].map((id) => ({ id, where: "pid 1234567", state: "live", inHand: 14, handled: 12_345 })),
    pace: paceOf(Array.from({ length: 500 }, (_, index) => sent(index * 40, index * 40 + 80, "ok")), 0, 20_000),
    counts: { sent: 123_456, succeeded: 123_456, unknown: 1_234, failed: 1_234 },
  };
  const events = Array.from({ length: 50 }, (_, at) => ({ at: at * 1_000, text: "x".repeat(200), tone: undefined }));

  for (const [columns, rows] of [[80, 24], [120, 40], [200, 60]]) {
    it(`fits ${columns} x ${rows}, the latest event last`, () => {
      const lines = draw(picture, events, { columns, rows }, paintWith(true));
      assert(lines.length <= rows, `${lines.length} lines`);
      for (const line of lines) assert(visibleLength(line) <= columns, `${visibleLength(line)} columns: ${line}`);
      assert(lines.at(-1)!.includes("49.0 s"), lines.at(-1));
    });
  }
});
