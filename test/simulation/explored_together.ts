/**
 * What two or three features promise together, which `explore` runs under faults: a lock around a value that is read
 * and written back, and an idempotent command that a run sends, which a batch has started.
 *
 *   deno run -A test/simulation/explored_together.ts 300 stock
 *
 * prints the first seed that breaks a promise, or that none does.
 *
 * @module
 */
import process from "node:process";
import { command, entity, event, fail, type Handlers, workflow } from "@catga/catga";
import { BrokenPromise, explore, ExploreError, type ExploreOptions, mayHaveHappened } from "@catga/catga/testing";

// stock: a value that is read and written back within a lock loses no change -----------------------------------

/** What a shelf holds, and the greatest token of a lock under which it was written. */
interface Shelf {
  readonly count: number;
  readonly fence: number;
}

/**
 * Puts pieces on shelves: each handler takes the shelf's lock, reads the count, takes a while, and writes the sum.
 * `fenced`: when the shelf looks at the lock's token, and refuses an older one: `"both"`, when it is read and when it
 * is written, as docs/state.md asks for; `"write"`, so that a former holder may write between a read and its write; or
 * `"never"`.
 */
function shelves(fenced: "both" | "write" | "never"): ExploreOptions<undefined> {
  const Shelf = entity("Shelf", { initial: (): Shelf => ({ count: 0, fence: 0 }) });
  const Counted = Shelf.event<Shelf>("Counted", (_, counted) => counted);
  const Write = command<{ shelf: string } & Shelf, void>("Write", { key: ({ shelf }) => shelf });
  const Read = command<{ shelf: string; fence: number }, number>("Read", { key: ({ shelf }) => shelf });
  const Put = command<{ shelf: string }, number>("Put", { timeout: 60_000 });
  const late = () => fail("TOO_LATE", "another one holds the lock");
  const read = Shelf.handle(Read, (shelf, { fence }) => {
    const { count } = shelf.state;
    if (fenced !== "both") return count;
    if (fence < shelf.state.fence) return late();
    shelf.emit(Counted, { count, fence });
    return count;
  });
  const write = Shelf.handle(Write, (shelf, { count, fence }) => {
    if (fenced !== "never" && fence < shelf.state.fence) return late();
    shelf.emit(Counted, { count, fence });
  });
  const put = Put.handle(async ({ shelf }, ctx) => {
    await using lock = await ctx.lock(shelf, { ttl: 2_000 });
    const found = await ctx.send(Read, { shelf, fence: lock.token });
    if (!found.ok) return found;
    await ctx.clock.sleep(50);
    const count = found.value + 1;
    const written = await ctx.send(Write, { shelf, count, fence: lock.token });
    return written.ok ? count : written;
  });
  return {
    nodes: 3,
    handlers: [read, write, put],
    workload: async ({ app, step, clock, random }) => {
      const all: Promise<unknown>[] = [];
      for (let n = 0; n < 12; n++) {
        all.push(step("put", () => app.send(Put, { shelf: `shelf ${n % 2}` })));
        await clock.sleep(random.int(0, 400));
      }
      await Promise.all(all);
    },
    check: async ({ history, state }) => {
      for (const shelf of ["shelf 0", "shelf 1"]) {
        const puts = history.operations.filter(({ contract, input, by }) =>
          contract === "Put" && by === undefined && (input as { shelf: string }).shelf === shelf
        );
        const sure = puts.filter(({ outcome }) => outcome?.type === "ok");
        const { state: { count } } = await state.load(Shelf, shelf, { latest: true });
        const values = sure.map(({ outcome }) => outcome?.type === "ok" ? outcome.value as number : 0);
        const most = puts.filter(({ outcome }) => mayHaveHappened(outcome)).length;
        const counts = `${sure.length} puts on ${shelf} succeeded, and it holds ${count}`;
        if (new Set(values).size < values.length) {
          throw new BrokenPromise("a lock is held by one", `${counts}: ${values}`, sure);
        }
        if (count < sure.length) throw new BrokenPromise("a lock is held by one", counts, sure);
        // a Put may have run more than once, or twice within its time: each run that wrote is a piece
        if (most === 0 && count > 0) throw new BrokenPromise("what failed for certain has not happened", counts, puts);
      }
    },
  };
}

// orders: one receipt for each order, whoever asks ------------------------------------------------------------

/**
 * Orders are published, a batch starts a run for each, and the run sends an idempotent command whose receipts differ
 * with each attempt. `keyed`: the run has the order's id; else each handling of the batch starts runs of its own.
 */
function orders(keyed: boolean): ExploreOptions<{ receipts: number }> {
  const Ordered = event<{ order: string }>("Ordered", { durable: true, key: ({ order }) => order });
  const Pay = command<{ order: string }, string>("Pay", { idempotent: true, timeout: 60_000 });
  const Order = workflow<{ order: string }, string>("Order");
  const handlers = ({ world }: { world: { receipts: number } }): Handlers => [
    Pay.handle(async ({ order }, { clock }) => {
      await clock.sleep(40);
      return `${order}-${++world.receipts}`;
    }),
    Order.handle(async (flow, { order }) => {
      const paid = await flow.send(Pay, { order });
      return paid.ok ? paid.value : paid;
    }),
    Ordered.onBatch(async (batch, ctx) => {
      for (const { payload } of batch) {
        const started = await ctx.start(Order, payload, keyed ? { id: payload.order } : {});
        if (!started.ok) return started;
      }
    }, { name: "orders" }),
  ];
  return {
    world: () => ({ receipts: 0 }),
    handlers,
    workload: async ({ app, step, clock, random }) => {
      const all: Promise<unknown>[] = [];
      for (let n = 0; n < 10; n++) {
        all.push(step("order", () => app.publish(Ordered, { order: `o${n}` }, { id: `o${n}` })));
        await clock.sleep(random.int(0, 60));
      }
      await Promise.all(all);
    },
    check: async ({ history, state }) => {
      const published = history.operations.filter(({ contract, outcome, by }) =>
        contract === "Ordered" && by === undefined && outcome?.type === "ok"
      );
      for (const operation of published) {
        const { order } = operation.input as { order: string };
        const attempts = history.attempts.filter(({ contract, input }) =>
          contract === "Pay" && (input as { order: string }).order === order
        );
        const ids = [...new Set(attempts.map(({ id }) => id))];
        const text = `${order} was paid under ${ids.length} ids`;
        if (ids.length !== 1) throw new BrokenPromise("an event starts its run, once", text, [operation, ...attempts]);
        const asked = await state.send(Pay, { order }, { id: ids[0] });
        const ends = history.runs.flatMap(({ timeline }) => timeline.filter(({ type }) => type === "ended"));
        if (asked.ok && ends.some(({ value }) => value === asked.value)) continue;
        const seen = `${asked.value ?? asked.error?.code}, of ${ends.map(({ value }) => value).join(", ")}`;
        throw new BrokenPromise("every sender with an id gets its one result", `${order}: ${seen}`, [
          operation,
          ...attempts,
        ]);
      }
    },
  };
}

/** The programs by their names, and those that are wrong, each of which has a red seed. */
export const EXPLORED_TOGETHER = {
  stock: shelves("both"),
  // the cast is safe: `explore` makes the world of a program by the program's own `world`
  orders: orders(true) as unknown as ExploreOptions<undefined>,
} as const;
export const WRONG_TOGETHER = {
  "stock, without tokens": shelves("never"),
  "stock, with tokens at the write alone": shelves("write"),
  orders: orders(false) as unknown as ExploreOptions<undefined>,
} as const;

if (import.meta.main) {
  const [seeds = "100", ...names] = process.argv.slice(2);
  for (const [kind, programs] of Object.entries({ right: EXPLORED_TOGETHER, wrong: WRONG_TOGETHER })) {
    for (const [name, program] of Object.entries(programs)) {
      if (names.length > 0 && !names.includes(name)) continue;
      try {
        await explore({ ...program, seeds: Number(seeds), shrink: 0 });
        console.log(`${kind} ${name}: green over ${seeds} seeds`);
      } catch (error) {
        if (!(error instanceof ExploreError)) throw error;
        console.log(`${kind} ${name}: seed ${error.seed}: ${error.cause.message}\n  ${error.replay}`);
        if (kind === "right") process.exitCode = 1;
      }
    }
  }
}
