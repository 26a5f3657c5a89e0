/** Workflows of Catga: the client is one of two nodes that drive runs. */
import { performance } from "node:perf_hooks";
import { catga, unwrap, workflow } from "../../mod.ts";
import { runFlowing } from "./flowing.ts";

const Three = workflow<void, number>("Three");
const Long = workflow<{ steps: number }, number>("Long");
const Go = Long.signal("Go");
const Nap = workflow<{ until: number }, void>("Nap");
const handlers = [
  Three.handle(async (flow) => {
    const a = await flow.step("a", () => 1);
    const b = await flow.step("b", () => a + 1);
    return await flow.step("c", () => b + 1);
  }),
  Long.handle(async (flow, { steps }) => {
    for (let n = 0; n < steps; n += 100) {
      await Promise.all(Array.from({ length: Math.min(100, steps - n) }, (_, i) => flow.step(`${n + i}`, () => n + i)));
    }
    await flow.wait(Go);
    return await flow.step("last", () => steps);
  }),
  Nap.handle((flow, { until }) => flow.sleep("nap", new Date(until))),
];
const logger = { debug() {}, info() {}, warn() {}, error: console.error };

await runFlowing({
  async node({ url, group, transport }) {
    await catga({ nats: url, namespace: group, transport, service: "flow", handlers, logger });
  },
  async client({ url, group, transport }) {
    const app = await catga({ nats: url, namespace: group, transport, service: "flow", handlers, logger });
    const patient = { timeout: 120_000 };
    const status = async (workflow: string, id: string) => {
      for await (const info of app.runs({ workflow, id })) return info.status;
    };
    return {
      async once() {
        const run = unwrap(await app.start(Three));
        if (unwrap(await app.result(Three, run, patient)) !== 3) throw new Error("another result");
      },
      tasks: {
        /**
         * How long a run of so many recorded steps takes that no node has in memory, from the signal to its end, in ms.
         */
        async resume({ steps }: { steps: number }): Promise<number> {
          const run = unwrap(await app.start(Long, { steps }));
          while (await status("Long", run) !== "waiting") await new Promise((resolve) => setTimeout(resolve, 100));
          // the node that drove it has let it go
          await new Promise((resolve) => setTimeout(resolve, 500));
          const start = performance.now();
          unwrap(await app.tell(Go, run));
          unwrap(await app.result(Long, run, patient));
          return performance.now() - start;
        },
        /** Has so many runs sleep for a day. Resolves when the last of them do. */
        async sleep({ runs }: { runs: number }): Promise<void> {
          const until = Date.now() + 86_400_000;
          let left = runs;
          const ids = await Promise.all(Array.from({ length: 64 }, async () => {
            let last: string | undefined;
            while (left-- > 0) last = unwrap(await app.start(Nap, { until }));
            return last;
          }));
          for (const id of ids) {
            while (id !== undefined && await status("Nap", id) !== "waiting") {
              await new Promise((resolve) => setTimeout(resolve, 20));
            }
          }
        },
        /** How long after their time, which comes in `ms`, so many sleeping runs have all ended, in ms. */
        async wake({ runs, ms }: { runs: number; ms: number }): Promise<number> {
          const until = Date.now() + ms;
          const ids: string[] = [];
          for (let n = 0; n < runs; n += 50) {
            const some = Array.from({ length: Math.min(50, runs - n) }, (_, i) => {
              return app.start(Nap, { until: until + (n + i) * 1_000 / runs });
            });
            ids.push(...(await Promise.all(some)).map(unwrap));
          }
          await Promise.all(ids.map(async (id) => unwrap(await app.result(Nap, id, patient))));
          return Date.now() - until;
        },
      },
    };
  },
});
