/**
 * Four chained appends by hand, over nats.js: each expects the one before, and as many bytes as Catga's. A node follows
 * the log and knows which runs are open, as whoever would go on with them has to.
 */
import { jetstream } from "@nats-io/jetstream";
import { ENDPOINT, openAppends } from "./appends.ts";
import { runFlowing } from "./flowing.ts";

/** A message of a run. */
type Entry = [number, string, number, number, unknown, [string, { readonly step: string }]];

/** The step that ends a run. */
const LAST = "c";

await runFlowing({
  async node(options) {
    const { nc } = await openAppends(options);
    const open = new Map<string, number>();
    const consumer = await jetstream(nc).consumers.get(options.group);
    await consumer.consume({
      callback(message) {
        const { 5: [, { step }] } = message.json<Entry>();
        if (step === LAST) open.delete(message.subject);
        else open.set(message.subject, message.seq);
      },
    });
  },
  async client(options) {
    const { group } = options;
    const appends = await openAppends(options);
    let runs = 0;
    return {
      async once() {
        const run = `r${runs++}`;
        let sequence = 0;
        for (const entry of ["started", "a", "b", LAST]) {
          const head = [0, ["Three", run, 1, ENDPOINT]];
          const step = { t: "done", step: entry, outcome: { ok: true, value: 1 } };
          const made: Entry = [1, ENDPOINT, appends.count, Date.now(), head, ["recorded", step]];
          const text = JSON.stringify(made);
          sequence = await appends.append(`${group}.${run}`, text, sequence);
        }
      },
    };
  },
});
