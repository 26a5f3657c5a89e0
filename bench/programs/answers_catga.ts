/**
 * Runs that answer, show where they are and begin anew: a node drives them, the client asks, tells, looks and watches.
 * The arguments: `node` or `client`, and the options.
 */
import { performance } from "node:perf_hooks";
import { type Catga, catga, unwrap, workflow } from "../../mod.ts";
import { quantile } from "../statistics.ts";
import { answer } from "./answer.ts";
import { type Answered, loop } from "./answered.ts";
import { started } from "./remote.ts";

/** A run that is told or asked. */
const Told = workflow<void, number>("Told");
const Go = Told.signal<number>("Go");
const Asked = Told.question<number, number>("Asked");
/** A run that answers and begins anew, until it is told to end. */
const Asking = workflow<void, void>("Asking").view<{ answered: number }>();
const Question = Asking.question<number, number>("Question");
const End = Asking.signal("End");
/** A run of so many lives. */
const Again = workflow<{ until: number; lives: number }, number>("Again");
const One = workflow<void, number>("One");
const Shows = workflow<void, void>("Shows").view<{ n: number }>();
const Show = Shows.signal<number>("Show");
const PER_LIFE = 100;

const handlers = [
  Told.handle(async (flow) => {
    const [go, asked] = await flow.wait([Go, Asked]);
    if (go !== undefined) return go.value;
    asked!.value.answer(asked!.value.input);
    return 0;
  }),
  Asking.handle(async (flow) => {
    flow.show({ answered: 0 });
    for (let n = 0; n < PER_LIFE; n++) {
      const [asked] = await flow.wait([Question, End]);
      if (asked === undefined) return;
      asked.value.answer(asked.value.input);
    }
    return flow.again();
  }),
  Again.handle(async (flow, { until, lives }) => {
    await flow.step("one", () => 1);
    return Date.now() < until ? flow.again({ until, lives: lives + 1 }) : lives;
  }),
  One.handle((flow) => flow.step("one", () => 1)),
  Shows.handle(async (flow) => {
    for (;;) flow.show({ n: await flow.wait(Show) });
  }),
];
const { side, options: { url, group, transport } } = started();
const logger = { debug() {}, info() {}, warn() {}, error: console.error };
const own = side === "node" ? handlers : [];
const app = await catga({ nats: url, namespace: group, transport, service: side, handlers: own, logger });

const patient = { timeout: 120_000 };
/** Runs that wait, started before anything is measured. */
async function waiting(app: Catga, count: number): Promise<string[]> {
  return await Promise.all(Array.from({ length: count }, async () => unwrap(await app.start(Told))));
}

answer({
  /** From a signal to the result of the run that it ends; or from a question to its answer. One after the other. */
  async one({ what, ms }: { what: "tell" | "ask"; ms: number }): Promise<Answered> {
    const took: number[] = [];
    const begin = performance.now();
    do {
      for (const run of await waiting(app, 20)) {
        const at = performance.now();
        if (what === "ask") unwrap(await app.ask(Asked, run, 1, patient));
        else {
          unwrap(await app.tell(Go, run, 1));
          unwrap(await app.result(Told, run, patient));
        }
        took.push(performance.now() - at);
      }
    } while (performance.now() - begin < ms);
    return { p50: quantile(took, 0.5), rate: 0 };
  },
  /** So many questions at once, each to a run of its own. */
  async many({ atOnce, ms }: { atOnce: number; ms: number }): Promise<Answered> {
    const runs = await Promise.all(Array.from({ length: atOnce }, async () => unwrap(await app.start(Asking))));
    const done = await loop(atOnce, ms, async (lane) => unwrap(await app.ask(Question, runs[lane], 1, patient)));
    await Promise.all(runs.map((run) => app.tell(End, run)));
    return done;
  },
  /** Lives of so many runs at once, a second. Resolves when they have ended. */
  async again({ atOnce, ms }: { atOnce: number; ms: number }): Promise<Answered> {
    const begin = performance.now();
    const until = Date.now() + ms;
    const lives = await Promise.all(Array.from({ length: atOnce }, async () => {
      const run = unwrap(await app.start(Again, { until, lives: 1 }));
      return unwrap(await app.result(Again, run, patient));
    }));
    return { p50: 0, rate: lives.reduce((sum, n) => sum + n, 0) * 1_000 / (performance.now() - begin) };
  },
  /** Runs that are started and end, so many at once. */
  starts: ({ atOnce, ms }: { atOnce: number; ms: number }): Promise<Answered> =>
    loop(atOnce, ms, async () => unwrap(await app.result(One, unwrap(await app.start(One)), patient))),
  /** Looks at what a run shows, one after the other. */
  async view({ ms }: { ms: number }): Promise<Answered> {
    const run = unwrap(await app.start(Asking));
    while (unwrap(await app.view(Asking, run)) === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    const done = await loop(1, ms, async () => unwrap(await app.view(Asking, run)));
    unwrap(await app.tell(End, run));
    return done;
  },
  /** How long it takes until all of so many watches have a change, in ms: the median, and the longest. */
  async watch({ watchers, changes }: { watchers: number; changes: number }): Promise<{ p50: number; most: number }> {
    const run = unwrap(await app.start(Shows));
    const over = new AbortController();
    const last = new Array<number>(watchers).fill(-1);
    let seen = () => {};
    const watched = last.map(async (_, i) => {
      for await (const { view } of app.watch(Shows, run, { signal: over.signal })) {
        last[i] = view?.n ?? -1;
        seen();
      }
    });
    const took: number[] = [];
    for (let n = 0; n <= changes; n++) {
      const all = Promise.withResolvers<void>();
      seen = () => last.every((one) => one === n) && all.resolve();
      const at = performance.now();
      unwrap(await app.tell(Show, run, n));
      await all.promise;
      if (n > 0) took.push(performance.now() - at); // the first one opens the watches
      await new Promise((resolve) => setTimeout(resolve, 1_100)); // a view alone is stored once a second
    }
    over.abort();
    await Promise.all(watched);
    unwrap(await app.cancel(Shows, run, "the bench ends"));
    return { p50: quantile(took, 0.5), most: Math.max(...took) };
  },
});
