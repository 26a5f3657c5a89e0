/** Four chained appends by hand, over nats.js: each expects the one before, and as many bytes as Catga's. */
import { ENDPOINT, openAppends } from "./appends.ts";
import { runFlowing } from "./flowing.ts";

await runFlowing({
  node: () => Promise.reject(new Error("it has no nodes")),
  async client(options) {
    const { group } = options;
    const appends = await openAppends(options);
    let runs = 0;
    return {
      async once() {
        const run = `r${runs++}`;
        let sequence = 0;
        for (const entry of ["started", "a", "b", "c"]) {
          const head = [0, ["Three", run, 1, ENDPOINT]];
          const step = { t: "done", step: entry, outcome: { ok: true, value: 1 } };
          const text = JSON.stringify([1, ENDPOINT, appends.count, Date.now(), head, ["recorded", step]]);
          sequence = await appends.append(`${group}.${run}`, text, sequence);
        }
      },
    };
  },
});
