/** Catga on a file whose path is given, or in memory: runs of three steps, durable events, commands of entities. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catga, command, entity, event, unwrap, workflow } from "../../mod.ts";
import { answer } from "./answer.ts";
import { type EventsOptions, InOrder, type Numbered } from "./filed.ts";
import { type AtOnce, runsAtOnce } from "./flowing.ts";

const [path = "", durability] = process.argv.slice(2);
const Three = workflow<void, number>("Three");
const Happened = event<Numbered>("Happened", { durable: true, key: ({ key }) => key });
const Counter = entity("Counter", { initial: () => 0 });
const Counted = Counter.event<{ by: number }>("Counted", (count, { by }) => count + by);
const Count = command<{ counter: string; by: number }, number>("Count", { key: ({ counter }) => counter });
const order = new InOrder();
const handlers = [
  Three.handle(async (flow) => {
    const a = await flow.step("a", () => 1);
    const b = await flow.step("b", () => a + 1);
    return await flow.step("c", () => b + 1);
  }),
  Happened.on((message) => order.handle(message), { name: "reader" }),
  Counter.handle(Count, (counter, { by }) => {
    counter.emit(Counted, { by });
    return counter.state;
  }),
];
const file = path === "" ? undefined : { path, durability: durability === "process" ? "process" : "disk" } as const;
const app = await catga(file === undefined ? { handlers } : { handlers, file });

answer({
  run: (options: AtOnce) =>
    runsAtOnce(async () => {
      if (unwrap(await app.result(Three, unwrap(await app.start(Three)))) !== 3) throw new Error("another result");
    }, options),
  events: (options: EventsOptions) =>
    order.events(async (message) => unwrap(await app.publish(Happened, message)), options),
  /** Commands of 256 entities a second, one of each at a time. */
  async commands({ ms }: { ms: number }): Promise<number> {
    let done = 0;
    const start = performance.now();
    await Promise.all(Array.from({ length: 256 }, async (_, i) => {
      while (performance.now() - start < ms) {
        unwrap(await app.send(Count, { counter: `counter-${i}`, by: 1 }));
        done++;
      }
    }));
    return done / (performance.now() - start) * 1_000;
  },
});
