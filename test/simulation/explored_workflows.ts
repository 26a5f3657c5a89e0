/**
 * Workflows that `explore` runs under faults while they are cancelled, told and skipped: trips whose two bookings run
 * side by side, stays that are cancelled as they end, meetings that take signals until none comes, quotes of which an
 * operator fills in a part.
 *
 *   deno run -A test/simulation/explored_workflows.ts 300 trips
 *
 * prints the first seed that breaks a promise, or that none does.
 *
 * @module
 */
import process from "node:process";
import { command, fail, type Handlers, type RunInfo, workflow } from "@catga/catga";
import { explore, ExploreError, type ExploreOptions, guarantees, type ProcessStart } from "@catga/catga/testing";

/** A workflow and what happens to it. `World`: what is outside of the cluster. */
type Explored<World> = ExploreOptions<World>;

// trips: a cancel that is ok is seen by the run --------------------------------------------------------------

const Trip = workflow<void, string>("Trip");
const Charge = command<{ trip: string }>("Charge", { idempotent: true });
const Book = command<{ trip: string }>("Book", { idempotent: true });
const Undo = command<{ trip: string; what: string }>("Undo", { idempotent: true });

const trips: Explored<undefined> = {
  nodes: {
    app: 2,
    bank: {
      count: 1,
      handlers: [
        Charge.handle((_, { clock }) => clock.sleep(30)),
        Book.handle((_, { clock }) => clock.sleep(32)),
        undone(),
      ],
    },
  },
  handlers: Trip.handle(async (flow) => {
    const trip = flow.id;
    const undo = (what: string) => async () => void await flow.send(Undo, { trip, what }, { name: `undo ${what}` });
    const both = await Promise.all([
      flow.send(Charge, { trip }, { undo: undo("charge") }),
      flow.send(Book, { trip }, { undo: undo("book") }),
    ]);
    return both.every(({ ok }) => ok) ? "booked" : "not booked";
  }),
  workload: cancelling(Trip),
  check: guarantees(Trip),
};

// stays: so is one that is stored between the decision that a run ends and the record of its end ----------------

const Stay = workflow<void, string>("Stay");
const Reserve = command<{ stay: string }>("Reserve", { idempotent: true });

const stays: Explored<undefined> = {
  nodes: { app: 2, hotel: { count: 1, handlers: [Reserve.handle((_, { clock }) => clock.sleep(30)), undone()] } },
  handlers: Stay.handle(async (flow) => {
    const stay = flow.id;
    const undo = async () => void await flow.send(Undo, { trip: stay, what: "stay" }, { name: "undo stay" });
    return (await flow.send(Reserve, { stay }, { undo })).ok ? "reserved" : "not reserved";
  }),
  workload: cancelling(Stay),
  check: guarantees(Stay),
};

// meetings: a signal that is ok is taken, if the run ends when none comes --------------------------------------

const Meeting = workflow<void, string[]>("Meeting");
const Said = Meeting.signal<string>("Said");

const meetings: Explored<undefined> = {
  handlers: Meeting.handle(async (flow) => {
    const all: string[] = [];
    for (let n = 0;; n++) {
      const said = await flow.wait(Said, { name: `said ${n}`, timeout: 150 });
      if (said === undefined) return all;
      all.push(said);
    }
  }),
  workload: async ({ app, step, clock, random }) => {
    for (let n = 0; n < 3; n++) {
      await step("meet", () => app.start(Meeting, undefined, { id: `${n}` }));
      for (let word = 0; word < 6; word++) {
        await clock.sleep(random.int(0, 100));
        await step("say", () => app.tell(Said, `${n}`, `word ${word}`, { id: `${word}` }));
      }
    }
  },
  check: [guarantees(Meeting), ({ history }) => {
    for (const { method, key, input, outcome } of history.operations) {
      if (method !== "tell" || outcome?.type !== "ok") continue;
      const words = endOf(history.runs.find(({ id }) => id === key));
      if (Array.isArray(words) && !words.includes(input)) {
        throw new Error(`run ${key} has ended with ${words.join(", ") || "nothing"}, and the signal ${input} was ok`);
      }
    }
  }],
};

// quotes: a value that an operator has given is the one that the run goes on with ------------------------------

const Quote = workflow<void, number, "NO_QUOTE">("Quote");
const Price = command<{ quote: string }, number>("Price", { idempotent: true });
const Stock = command<{ quote: string }, number>("Stock", { idempotent: true });
const GIVEN = 7;

/** Commands that fail once, and are slow. */
function shop(): Handlers {
  const asked = new Set<string>();
  const answer = async (key: string, ms: number, clock: { sleep(ms: number): Promise<void> }) => {
    if (!asked.has(key)) {
      asked.add(key);
      throw new Error("no answer");
    }
    await clock.sleep(ms);
    return 1;
  };
  return [
    Price.handle(({ quote }, { clock }) => answer(`price ${quote}`, 100, clock)),
    Stock.handle(({ quote }, { clock }) => answer(`stock ${quote}`, 102, clock)),
  ];
}

const quotes: Explored<undefined> = {
  nodes: { app: 2, shop: { count: 1, handlers: (_: ProcessStart) => shop() } },
  handlers: Quote.handle(async (flow) => {
    const quote = flow.id;
    const retry = { delay: [20, 20] as const };
    const [price, stock] = await Promise.all([
      flow.send(Price, { quote }, { retry }),
      flow.send(Stock, { quote }, { retry }),
    ]);
    return price.ok && stock.ok ? price.value * stock.value : fail("NO_QUOTE", "no price, or nothing in stock");
  }),
  workload: async ({ app, step, clock, random }) => {
    const all: Promise<unknown>[] = [];
    for (let n = 0; n < 6; n++) {
      all.push(step("quote", async (random) => {
        void await app.start(Quote, undefined, { id: `${n}` });
        await clock.sleep(random.int(20, 250));
        try {
          for await (const run of app.runs({ workflow: "Quote", id: `${n}` })) {
            await run.skip("Stock", GIVEN, "counted");
          }
        } catch {
          // it has an outcome already, or the store is away
        }
      }));
      await clock.sleep(random.int(0, 50));
    }
    await Promise.all(all);
  },
  check: [guarantees(Quote), ({ history }) => {
    for (const run of history.runs) {
      const first = run.timeline.find(({ name, type }) => name === "Stock" && (type === "skipped" || type === "done"));
      const end = endOf(run);
      if (first?.type === "skipped" && typeof end === "number" && end !== GIVEN) {
        throw new Error(`run ${run.id} was given ${GIVEN}, and has ended with ${end}`);
      }
    }
  }],
};

/** A handler each time, as a handler belongs to one group of nodes. */
function undone(): Handlers {
  return Undo.handle(() => {});
}

/** Starts runs and cancels each a while later. */
function cancelling(flow: typeof Trip): Explored<undefined>["workload"] {
  return async ({ app, step, clock, random }) => {
    const all: Promise<unknown>[] = [];
    for (let n = 0; n < 8; n++) {
      all.push(step("cancel", async (random) => {
        void await app.start(flow, undefined, { id: `${n}` });
        await clock.sleep(random.int(0, 120));
        void await app.cancel(flow, `${n}`, "other plans");
      }));
      await clock.sleep(random.int(0, 50));
    }
    await Promise.all(all);
  };
}

/** The value with which a run has ended. */
function endOf(run: RunInfo | undefined): unknown {
  return run?.timeline.find(({ type }) => type === "ended")?.value;
}

/** The programs by their names. */
export const EXPLORED_WORKFLOWS = { trips, stays, meetings, quotes } as const;

if (import.meta.main) {
  const [seeds = "100", ...names] = process.argv.slice(2);
  for (const [name, program] of Object.entries(EXPLORED_WORKFLOWS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    try {
      await explore({ ...program, seeds: Number(seeds), shrink: 0 });
      console.log(`${name}: green over ${seeds} seeds`);
    } catch (error) {
      if (!(error instanceof ExploreError)) throw error;
      console.log(`${name}: seed ${error.seed}: ${error.cause.message}\n  ${error.replay}`);
      process.exitCode = 1;
    }
  }
}
