/**
 * A node that feeds streams, in a process of its own, for tests.
 *
 *   … test/processes/stream_node.ts <nats url> <id>
 *
 * Prints a line when it is ready.
 *
 * @module
 */
import process from "node:process";
import { catga, query, stream } from "@catga/catga";
import { collectGarbage } from "../support/garbage.ts";

/** Numbers from `from` to `to`, one each `ms`; without a pause if that is 0. */
export const Numbers = stream<{ from: number; to: number; ms: number }, number>("Numbers");
/** The same, which goes on at another node. */
export const Going = stream<{ from: number; to: number; ms: number }, number>("Going", {
  resume: (input, last) => ({ ...input, from: (last ?? input.from - 1) + 1 }),
});
/** Texts of so many characters, without end. */
export const Texts = stream<{ size: number }, string>("Texts");
/** What the node holds. */
export const Holds = query<void, { open: number; opened: number; rss: number; heap: number; handles: number }>("Holds");

let [open, opened] = [0, 0];
async function* numbers(
  { from, to, ms }: { from: number; to: number; ms: number },
  { clock }: { clock: { sleep(ms: number): Promise<void> } },
) {
  open++;
  opened++;
  try {
    for (let n = from; n <= to; n++) {
      if (ms > 0) await clock.sleep(ms);
      yield n;
    }
  } finally {
    open--;
  }
}
if (import.meta.main) {
  const [url, id] = process.argv.slice(2);
  const texts = Texts.handle(async function* ({ size }) {
    open++;
    opened++;
    try {
      for (;;) yield "x".repeat(size);
    } finally {
      open--;
    }
  });
  const holds = Holds.handle(() => {
    collectGarbage();
    const { rss, heapUsed } = process.memoryUsage();
    return { open, opened, rss, heap: heapUsed, handles: app.health().inFlight };
  });
  const handlers = [Numbers.handle(numbers), Going.handle(numbers), texts, holds];
  const logger = { debug() {}, info() {}, warn() {}, error: console.error };
  const app = await catga({ nats: url, id, service: "numbers", signals: true, logger, handlers });
  console.log(JSON.stringify({ ready: id }));
}
