import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { stream } from "../contract/declaration/definition.ts";
import { fail } from "../contract/calls/result.ts";
import type { FeedingContext, ItemOutlet } from "../dispatch/item_ports.ts";
import { CatgaError } from "../error.ts";
import { untaken } from "../../test/support/taken_changes.ts";
import { feed, FEEDING_STATES } from "./feeding.ts";

const Numbers = stream<void, number>("Numbers");

/** Feeds a stream whose last items arrive when `arrived` resolves. `fed`: how it ends. */
function fedBy(generator: () => unknown, arrived: Promise<void> = Promise.resolve()) {
  const items: unknown[] = [];
  const here: ItemOutlet = {
    room: true,
    ready: () => Promise.resolve(),
    send: (item) => void items.push(item),
    end: () => arrived,
    close: () => {},
  };
  const end = new AbortController();
  const ctx = {
    envelope: { items: { here } },
    signal: end.signal,
    draining: new AbortController().signal,
    node: "a",
    abort: (reason: CatgaError) => end.abort(reason),
    checkedBy: (_: string, result: unknown) => result,
  } as unknown as FeedingContext; // the parts that feeding uses
  const fed = feed(Numbers, generator as never, undefined, ctx).catch((error) => (error as Error).message);
  return { items, fed, stop: () => end.abort(new CatgaError("CANCELLED", "nobody reads")) };
}

/** Resolves after all that is due in this turn of the event loop. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a handler that feeds a stream", () => {
  it("takes each change of its table", async () => {
    const left = await untaken(FEEDING_STATES, async () => {
      const returns = fedBy(async function* () {
        yield 1;
        return fail("FULL", "no more");
      });
      await returns.fed;
      assertEquals(returns.items, [1]);
      const arrived = Promise.withResolvers<void>();
      const late = fedBy(async function* () {
        yield 1;
      }, arrived.promise);
      await turn();
      late.stop(); // its last item is on its way
      arrived.resolve();
      assertEquals(await late.fed, "nobody reads");
      const ends = Promise.withResolvers<IteratorResult<number>>();
      const iterator = { next: () => Promise.reject(new Error("broken")), return: () => ends.promise };
      const fails = fedBy(() => ({ [Symbol.asyncIterator]: () => iterator }));
      await turn();
      fails.stop(); // while its generator is ended
      ends.resolve({ done: true, value: undefined });
      assertEquals(await fails.fed, "nobody reads");
      const stopped = fedBy(() => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }));
      await turn();
      stopped.stop();
    });
    assertEquals(left, []);
  });

  it("ends with what its generator threw, and ends a generator whose item cannot be sent", async () => {
    const { fed } = fedBy(async function* () {
      yield 1;
      throw new Error("broken");
    });
    assertEquals(await fed, "broken");
  });
});
