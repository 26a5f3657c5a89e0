/**
 * How many files and functions of the product a message passes, by V8's coverage: four walks of a warm program over
 * the memory network. What stands in for NATS and its client is left out. `tools/size.ts` prints them.
 *
 * @module
 */
import inspector from "node:inspector";
import { catga, command, entity, event, unwrap } from "../mod.ts";
import { MemoryNetwork } from "../src/testing/mod.ts";

/** A walk: what one message passes. */
export interface Walk {
  /** What is measured. */
  readonly name: string;
  /** From the root of the repository, sorted: files with a function that each message calls. */
  readonly files: readonly string[];
  /** Functions that each message calls. */
  readonly functions: number;
}

const ROOT = new URL("..", import.meta.url).href;
const PRODUCT = `${ROOT}src/`;
const STAND_IN = `${PRODUCT}memory/`;
const WARM = 50;
const MEASURED = 100;

const Near = command<{ n: number }, number>("Near");
const Far = command<{ n: number }, number>("Far");
const Fill = command<{ cup: string; ml: number }, number>("Fill", { key: ({ cup }) => cup });
const Happened = event<{ n: number }>("Happened", { durable: true, key: () => "one" });
const Cup = entity("Cup", { initial: () => 0 });
const Filled = Cup.event<{ ml: number }>("Filled", (total, { ml }) => total + ml);

/**
 * Four walks, each of messages one after the other: a local send, a remote one, a durable event to its handler, a
 * command of an entity.
 */
export async function measureWalks(): Promise<Walk[]> {
  const network = new MemoryNetwork();
  let handled = (): void => {};
  const near = await catga({ network, id: "near", handlers: Near.handle(({ n }) => n + 1) });
  const far = await catga({
    network,
    id: "far",
    handlers: [
      Far.handle(({ n }) => n + 1),
      Happened.on(() => handled(), { name: "walk" }),
      Cup.handle(Fill, (cup, { ml }) => {
        cup.emit(Filled, { ml });
        return cup.state;
      }),
    ],
  });
  try {
    return [
      await walk("local send", async () => void unwrap(await near.send(Near, { n: 1 }, { timeout: 1_000 }))),
      await walk("remote send", async () => void unwrap(await near.send(Far, { n: 1 }))),
      await walk("durable event, publish to handler", async () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        handled = resolve;
        unwrap(await near.publish(Happened, { n: 1 }));
        await promise;
      }),
      await walk("command of an entity", async () => void unwrap(await near.send(Fill, { cup: "c", ml: 1 }))),
    ];
  } finally {
    await near.drain();
    await far.drain();
  }
}

async function walk(name: string, once: () => Promise<void>): Promise<Walk> {
  for (let i = 0; i < WARM; i++) await once();
  await using counts = await CallCounts.begin();
  for (let i = 0; i < MEASURED; i++) {
    await once();
    await counts.note();
  }
  const functions = counts.called(MEASURED * 0.9);
  return { name, files: [...new Set(functions)].sort(), functions: functions.length };
}

/**
 * Which functions of the product messages call, by V8's coverage of each message alone: what a ping goes through for
 * hundreds of frames at once, beside one of the messages, does not look like a call for each.
 */
class CallCounts implements AsyncDisposable {
  readonly #session = new inspector.Session();
  /** By file and place in it: the messages that called the function. */
  readonly #messages = new Map<string, number>();

  static async begin(): Promise<CallCounts> {
    const counts = new CallCounts();
    counts.#session.connect();
    await counts.#post("Profiler.enable");
    await counts.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
    return counts;
  }

  /** Notes what was called since it was noted last: V8 begins to count anew. */
  async note(): Promise<void> {
    const { result } = await this.#post("Profiler.takePreciseCoverage") as {
      result: { url: string; functions: { ranges: { startOffset: number; count: number }[] }[] }[];
    };
    for (const { url, functions } of result) {
      if (!url.startsWith(PRODUCT) || url.startsWith(STAND_IN)) continue;
      for (const { ranges: [{ startOffset, count }] } of functions) {
        if (count === 0) continue;
        const place = `${url.slice(ROOT.length)} ${startOffset}`;
        this.#messages.set(place, (this.#messages.get(place) ?? 0) + 1);
      }
    }
  }

  /** The files of functions that so many messages called, one for each function. */
  called(messages: number): string[] {
    return [...this.#messages].filter(([, count]) => count >= messages).map(([place]) => place.split(" ")[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#post("Profiler.stopPreciseCoverage");
    await this.#post("Profiler.disable");
    this.#session.disconnect();
  }

  #post(method: string, params: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) =>
      this.#session.post(
        method,
        params,
        (error: Error | null, answer: unknown) => error ? reject(error) : resolve(answer),
      )
    );
  }
}
