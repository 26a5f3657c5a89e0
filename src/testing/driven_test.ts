import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { driven } from "./pace.ts";

/** A lock that can be released. */
class Held {
  released = 0;

  release(): Promise<number> {
    return Promise.resolve(++this.released);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release().then(() => {});
  }
}

/** An app with a private field, whose methods return every kind of value. */
class App {
  readonly cache = { get: () => Promise.resolve("cached") };
  readonly clock = { now: () => 7, sleep: () => Promise.resolve("slept") };
  #sent = 0;
  closed = 0;

  get size(): number {
    return this.#sent;
  }

  send(by: number): Promise<number> {
    return Promise.resolve(this.#sent += by);
  }

  fail(): Promise<never> {
    return Promise.reject(new TypeError("no tea"));
  }

  lock(): Promise<Held> {
    return Promise.resolve(new Held());
  }

  nodes(): readonly string[] {
    return ["a"];
  }

  async *next(): AsyncGenerator<number> {
    yield await new Promise<number>(() => {});
  }

  async *deadLetters(): AsyncGenerator<{ replay(): Promise<string> }> {
    try {
      for (const id of ["m1", "m2"]) yield await Promise.resolve({ replay: () => Promise.resolve(id) });
    } finally {
      this.closed++;
    }
  }
}

/**
 * Makes an app whose promises are passed to a function `drive`. `take` returns how many promises were passed to `drive`
 * since the last call of `take`.
 */
function setUp() {
  const real = new App();
  let count = 0;
  const drive = <R>(promise: Promise<R>) => {
    count++;
    return promise;
  };
  const take = () => {
    const taken = count;
    count = 0;
    return taken;
  };
  return { real, app: driven(real, drive), take };
}

describe("driven", () => {
  it("drives each promise that a method returns, and it settles as it would", async () => {
    const { app, take } = setUp();
    assertEquals([await app.send(2), await app.send(3), take()], [2, 5, 2]);
    await assertRejects(() => app.fail(), TypeError, "no tea");
    assertEquals(take(), 1);
  });

  it("has the members and the class of the object, also of a frozen one, and drives nothing for them", async () => {
    const { app, real, take } = setUp();
    Object.freeze(real);
    assert(app instanceof App);
    assertEquals([app.size, app.nodes(), "send" in app, "closed" in app, "other" in app], [
      0,
      ["a"],
      true,
      true,
      false,
    ]);
    assertStrictEquals(app.closed, real.closed);
    assertEquals(take(), 0);
    assertEquals([await app.cache.get(), take()], ["cached", 1]);
  });

  it("drives the methods of the cache and the clock, and of locks that it resolves with", async () => {
    const { app, take } = setUp();
    assertEquals([await app.cache.get(), await app.clock.sleep(), take()], ["cached", "slept", 2]);
    assertEquals([app.clock.now(), take()], [7, 0]);
    const held = await app.lock();
    assertEquals([held instanceof Held, take()], [true, 1]);
    assertEquals([await held.release(), take()], [1, 1]);
    await held[Symbol.asyncDispose]();
    assertEquals([held.released, take()], [2, 1]);
  });

  it("returns iterators as they are: time does not pass for a next value that may never come", () => {
    const { app, take } = setUp();
    const values = app.next();
    void values.next();
    assertEquals(take(), 0);
  });

  it("drives each step through dead letters, and what is done with a letter", async () => {
    const { app, real, take } = setUp();
    const replayed: string[] = [];
    for await (const letter of app.deadLetters()) replayed.push(await letter.replay());
    assertEquals([replayed, take(), real.closed], [["m1", "m2"], 5, 1]);
  });

  it("ends the iterator of dead letters when the test leaves the loop", async () => {
    const { app, real } = setUp();
    for await (const _ of app.deadLetters()) break;
    assertEquals(real.closed, 1);
  });
});
