/** Tests of waits that the handler gives up, and of waits for one of several signals: no told signal is lost. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { type Flow, type Handler, type Signal, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";

const HOUR = 3_600_000;
const Visit = workflow<void, string[]>("Visit");
const Moved = Visit.signal<{ to: string }>("Moved");
const Called = Visit.signal<string>("Called");
const Ping = Visit.signal("Ping");

/** A cluster of two nodes that handle the workflow, with a run that has started. */
async function started(handler: Handler) {
  const cluster = await testCluster(["one", "two", "client"], {
    logger: QUIET,
    node: (id) => id === "client" ? {} : { handlers: handler },
  });
  const client = cluster.app("client");
  const run = unwrap(await cluster.app("one").start(Visit));
  const info = async () => (await Array.fromAsync(client.runs({ id: run })))[0];
  const until = async (holds: (names: readonly string[], status: string) => boolean) => {
    for (;;) {
      const { pending, status } = await info();
      if (holds(pending.map(({ name }) => name), status)) return;
      await cluster.advance(20);
    }
  };
  const tell = async <T>(signal: Signal<T, unknown>, payload: T) =>
    void unwrap(await client.tell(signal, run, payload as never));
  const result = async () => await client.result(Visit, run, { timeout: 60_000 });
  return { cluster, until, tell, result, info, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

/** Waits for a signal until a sleep is over; then the wait is given up. */
async function movedBefore(flow: Flow, name: string, ms: number): Promise<string | undefined> {
  const race = new AbortController();
  try {
    const moved = flow.wait(Moved, { name, signal: race.signal }).then(({ to }) => to);
    return await Promise.race([moved, flow.sleep(`${name} sleep`, ms).then(() => undefined)]);
  } finally {
    race.abort();
  }
}

describe("a wait that is given up", () => {
  it("takes no later signal: the wait of the next race takes it (it was told ok, and nobody saw it)", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      const seen: string[] = [];
      for (const name of ["evening", "hour"]) seen.push(await movedBefore(flow, name, 12 * HOUR) ?? name);
      return seen;
    }));
    await one.until((names) => names.includes("evening"));
    await one.cluster.leap(12 * HOUR + 1_000);
    await one.until((names) => names.includes("hour"));
    await one.tell(Moved, { to: "Friday" });
    assertEquals((await one.result()).value, ["evening", "Friday"]);
  });

  it("takes none when its run is replayed by another node", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      const seen: string[] = [];
      for (const name of ["a", "b", "c"]) seen.push(await movedBefore(flow, name, 300) ?? name);
      await flow.step("a step", () => {});
      return [...seen, (await flow.wait(Moved)).to];
    }));
    await one.until((names) => names.includes("Moved 4"));
    one.cluster.kill("one");
    await one.tell(Moved, { to: "Friday" });
    assertEquals((await one.result()).value, ["a", "b", "c", "Friday"]);
  });

  it("leaves what it has taken, and the handler has not got, to the next wait", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      const race = new AbortController();
      // both ends are stored together: the handler gets that of the step, and gives the wait up
      const moved = flow.wait(Moved, { name: "first", signal: race.signal });
      await Promise.race([flow.step("begin", () => "begun"), moved]);
      race.abort();
      return [(await flow.wait(Moved, { name: "second" })).to];
    }));
    await one.tell(Moved, { to: "Friday" });
    assertEquals((await one.result()).value, ["Friday"]);
  });

  it("rejects with the reason of the abort, also where nobody awaits it", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      const race = new AbortController();
      const wait = flow.wait(Moved, { signal: race.signal });
      void flow.wait(Called, { signal: race.signal });
      await flow.step("a", () => {});
      race.abort(new Error("enough"));
      const late = flow.wait(Ping, { signal: race.signal });
      const why = (error: Error) => error.message;
      return [await wait.then(() => "", why), await late.then(() => "", why)];
    }));
    assertEquals((await one.result()).value, ["enough", "enough"]);
  });

  it("is refused what is no AbortSignal", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      await flow.wait(Moved, { signal: new AbortController() as never });
      return [];
    }));
    await one.until((_, status) => status === "stuck");
    assertMatch((await one.info()).pending[0].error!.message, /signal must be an AbortSignal/);
  });
});

describe("a wait for one of several signals", () => {
  it("takes exactly one, the oldest stored: a loop of such waits loses none (a race of two waits did)", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      const seen: string[] = [];
      while (seen.length < 6) {
        const [moved, called, pinged] = await flow.wait([Moved, Called, Ping]);
        if (moved !== undefined) seen.push(moved.value.to);
        else if (called !== undefined) seen.push(called.value);
        else seen.push(`ping ${pinged.value}`);
      }
      return seen;
    }));
    await one.tell(Called, "x1");
    await one.tell(Called, "x2");
    await one.tell(Moved, { to: "y1" });
    await one.tell(Called, "x3");
    await one.until((_, status) => status === "waiting");
    await one.tell(Ping, undefined);
    one.cluster.kill("one");
    await one.tell(Moved, { to: "y2" });
    assertEquals((await one.result()).value, ["x1", "x2", "y1", "x3", "ping undefined", "y2"]);
  });

  it("gives undefined for each when its time is over, and its name is made of theirs", async () => {
    await using one = await started(Visit.handle(async (flow) => {
      const [moved, called] = await flow.wait([Moved, Called], { timeout: 2 * HOUR });
      if (moved !== undefined) return [moved.value.to];
      return [called === undefined ? "neither" : called.value];
    }));
    await one.until((names) => names.includes("Moved|Called"));
    await one.cluster.leap(2 * HOUR);
    assertEquals((await one.result()).value, ["neither"]);
  });

  it("refuses an empty list, the same signal twice, and a signal of another workflow", async () => {
    const Other = workflow("Other").signal("Other");
    for (
      const [signals, why] of [
        [[], /must have signals, and each once/],
        [[Ping, Ping], /must have signals, and each once/],
        [[Ping, Other], /Other is a signal of Other/],
        [[Ping, undefined as never], /takes a signal or question of Visit; got undefined/],
      ] as const
    ) {
      await using one = await started(Visit.handle(async (flow) => {
        await flow.wait(signals);
        return [];
      }));
      await one.until((_, status) => status === "stuck");
      assertMatch((await one.info()).pending[0].error!.message, why);
    }
  });
});
