/**
 * Workflows that `explore` runs under faults while they are cancelled, told and skipped: trips whose two bookings run
 * side by side, stays that are cancelled as they end, meetings that take signals until none comes, quotes of which an
 * operator fills in a part, parcels and seats whose values a schema refuses until it is mended, bills that two pay.
 *
 *   deno run -A test/simulation/explored_workflows.ts 300 trips
 *
 * prints the first seed that breaks a promise, or that none does.
 *
 * @module
 */
import process from "node:process";
import { type Catga, command, fail, type Handlers, type RunInfo, type Schema, workflow } from "@catga/catga";
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

// refusals: a run whose values a schema refuses is stuck with the place, and goes on once the schema is mended ---

const PLACES = ["input", "signal", "output", "answer", "message", "child", "undo"] as const;
type Place = (typeof PLACES)[number];

/** The error of a stuck run, by the place: code, step (none: the handler), and message. */
const NAMED: Record<Place, RegExp> = {
  input: /^HANDLER_FAILED : the payload of Parcel .*: no input$/,
  signal: /^HANDLER_FAILED : the payload of signal Packed .*: no signal$/,
  output: /^INVALID_RESPONSE : the answer of Parcel .*: no output$/,
  answer: /^INVALID_RESPONSE Weigh: the answer of Weigh .*: no answer$/,
  message: /^INVALID_MESSAGE Weigh: the payload of Weigh .*: no message$/,
  child: /^INVALID_MESSAGE Box: .*payload of Box .*: no child$/,
  undo: /^INVALID_MESSAGE unlabel: the payload of Unlabel .*: no undo$/,
};

interface Schemas {
  /** True once a program is deployed whose schemas refuse nothing. */
  mended: boolean;
  /** By run: the error with which the run was seen stuck. */
  readonly stuck: Map<string, string>;
  /** Runs that were seen ended with a value while a schema refused theirs. */
  readonly early: Set<string>;
}

/** A schema that refuses values of runs with this place until it is mended. */
function refusing<T extends { place: Place } | Place>(at: Place, world: Schemas): Schema<T, T> {
  const validate = (value: unknown) => {
    const place = typeof value === "string" ? value : (value as { place: Place }).place;
    return !world.mended && place === at ? { issues: [{ message: `no ${at}` }] } : { value: value as T };
  };
  return { "~standard": { version: 1, vendor: "refusing", validate } };
}

const MENDED: Schemas = { mended: true, stuck: new Map(), early: new Set() };
const AnyParcel = workflow("Parcel", {
  input: refusing<{ place: Place }>("input", MENDED),
  output: refusing<Place>("output", MENDED),
});
const Packed = AnyParcel.signal<Place>("Packed");

function parcels({ world }: ProcessStart<Schemas>): Handlers {
  const Parcel = workflow("Parcel", {
    input: refusing<{ place: Place }>("input", world),
    output: refusing<Place>("output", world),
  });
  const PackedOnes = Parcel.signal("Packed", { input: refusing<Place>("signal", world) });
  const Weigh = command("Weigh", {
    idempotent: true,
    input: refusing<Place>("message", world),
    output: refusing<Place>("answer", world),
  });
  const Unlabel = command("Unlabel", { idempotent: true, input: refusing<Place>("undo", world) });
  const Box = workflow<Place, Place>("Box", { input: refusing<Place>("child", world) });
  return [
    Parcel.handle(async (flow, { place }) => {
      const undo = async () => void await flow.send(Unlabel, place, { name: "unlabel" });
      await flow.step("label", () => place, { undo });
      const [packed] = await Promise.all([
        flow.wait(PackedOnes),
        flow.step("print", async () => void await world),
      ]);
      const weighed = await flow.send(Weigh, packed);
      await flow.send(Box, place);
      if (place === "undo") return fail("LOST", "it is lost");
      await flow.step("ship", () => {});
      return weighed.ok ? weighed.value : weighed;
    }),
    Weigh.handle((place) => place),
    Unlabel.handle(() => {}),
    Box.handle((flow, place) => flow.step("fold", () => place)),
  ];
}

const refusals: Explored<Schemas> = {
  world: () => ({ mended: false, stuck: new Map(), early: new Set() }),
  limit: 4_000_000,
  handlers: parcels,
  workload: async ({ app, step, clock, random, world }) => {
    const begin = async (place: Place, random: { int(least: number, most: number): number }) => {
      while (!(await app.start(AnyParcel, { place }, { id: place })).ok) await clock.sleep(100);
      await clock.sleep(random.int(0, 200));
      while (!(await app.tell(Packed, place, place, { id: "packed" })).ok) await clock.sleep(100);
      if (random.int(0, 4) > 0) return;
      await clock.sleep(random.int(0, 40_000));
      void await app.cancel(AnyParcel, place, "other plans");
    };
    await Promise.all(PLACES.map((place) => step("parcel", (random) => begin(place, random))));
    const look = async (act: (run: RunInfo) => Promise<void> | void) => {
      try {
        for await (const run of app.runs({ workflow: "Parcel" })) {
          if (run.status === "done" && !world.mended) world.early.add(run.id);
          if (run.status === "stuck") await act(run);
        }
      } catch {
        // the store is away, or the run is no longer stuck
      }
    };
    const note = ({ id, pending: [first] }: RunInfo) => {
      world.stuck.set(id, `${first?.error?.code} ${first?.name}: ${first?.error?.message}`);
    };
    // a handler that throws is called 10 times in 17 minutes before its run is stuck
    const until = clock.now() + random.pick([5_000, 30_000, 1_200_000]);
    while (clock.now() < until && world.stuck.size < PLACES.length - 1) {
      await look(note);
      await clock.sleep(random.int(10, 20_000));
    }
    world.mended = true;
    while (await hasOpenRuns(app, "Parcel")) {
      await look(async (run) => {
        note(run);
        await run.retry();
      });
      await clock.sleep(random.int(10, 500));
    }
  },
  check: [guarantees(AnyParcel), ({ history, world }) => {
    for (const run of world.early) throw new Error(`run ${run} has ended with a value that a schema refuses`);
    for (const run of history.runs.filter(({ workflow }) => workflow === "Parcel")) {
      const has = (type: string) => run.timeline.some((entry) => entry.type === type);
      if (run.id === "undo" || has("cancelled")) {
        if (run.status !== "failed" || (has("done") && !has("undone"))) {
          throw new Error(`run ${run.id} is ${run.status}, and its steps are not undone`);
        }
      } else if (endOf(run) !== run.id) {
        throw new Error(`run ${run.id} is ${run.status}, and has ended with ${endOf(run)}`);
      }
      const error = world.stuck.get(run.id);
      if (error !== undefined && !NAMED[run.id as Place].test(error)) {
        throw new Error(`run ${run.id} was stuck: ${error}`);
      }
    }
  }],
};

// seats: a version refuses what another recorded, is rolled back, and a third one takes both ------------------------

type Names = "buyer" | "holder";
type Seat = { buyer?: string; holder?: string };

/** A schema that takes values with one of these members. It describes itself, so that versions have a shape. */
function having(...names: Names[]): Schema<Seat> {
  const takes = (value: unknown) => names.some((name) => typeof (value as Seat)[name] === "string");
  const validate = (value: unknown) =>
    takes(value) ? { value: value as Seat } : { issues: [{ message: `no ${names.join(" and no ")}` }] };
  const input = () => ({ type: "object", anyOf: names.map((name) => ({ required: [name] })) });
  const jsonSchema = { input, output: input };
  return { "~standard": { version: 1, vendor: "having", validate, jsonSchema } } as Schema<Seat>;
}

/** The workflow of a version whose schemas take these members, and its signal. */
function seatOf(...names: Names[]) {
  const schema = having(...names);
  const Seat = workflow("Seat", { input: schema, output: schema });
  return { Seat, Paid: Seat.signal("Paid", { input: schema }) };
}

function seats(...names: Names[]): Handlers {
  const { Seat, Paid } = seatOf(...names);
  return Seat.handle(async (flow, seat) => {
    await flow.step("hold", () => seat, { undo: () => {} });
    const paid = await flow.wait(Paid);
    await flow.step("print", () => paid);
    return seat;
  });
}

const OLD = seatOf("buyer");
const NEW = seatOf("holder");

const versions: Explored<undefined> = {
  limit: 4_000_000,
  handlers: seats("buyer"),
  deploys: [{ handlers: seats("holder"), at: 15_000 }, {
    handlers: seats("holder", "buyer"),
    at: 90_000,
    forGood: true,
  }],
  workload: async ({ app, step, clock, random }) => {
    const begin = async (n: number, random: { int(least: number, most: number): number }) => {
      const [of, told] = [random.int(0, 1), random.int(0, 1)].map((it) => it === 0 ? OLD : NEW);
      const valueOf = (version: typeof OLD): Seat => version === OLD ? { buyer: "ada" } : { holder: "ada" };
      await clock.sleep(random.int(0, 20_000));
      while (!(await app.start(of.Seat, valueOf(of), { id: `${n}` })).ok) await clock.sleep(100);
      await clock.sleep(random.int(0, 20_000));
      while (!(await app.tell(told.Paid, `${n}`, valueOf(told), { id: "paid" })).ok) await clock.sleep(100);
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map((n) => step("seat", (random) => begin(n, random))));
    while (await hasOpenRuns(app, "Seat")) {
      try {
        for await (const run of app.runs({ workflow: "Seat", status: "stuck" })) await run.retry();
      } catch {
        // the store is away, or the run is no longer stuck
      }
      await clock.sleep(random.int(1_000, 20_000));
    }
  },
  check: [guarantees(OLD.Seat), ({ history }) => {
    for (const run of history.runs) {
      if (run.status !== "done") throw new Error(`run ${run.id} is ${run.status}`);
    }
  }],
};

// payments: a completion that is ok is what the run gets, and one for each callback -------------------------------

const Bill = workflow<void, string>("Bill");

/** By run: the token of its callback. A process that dies takes no token back. */
class Till {
  readonly tokens = new Map<string, string>();
}

const payments: Explored<Till> = {
  world: () => new Till(),
  handlers: ({ world }) =>
    Bill.handle(async (flow) => {
      const paid = flow.callback<string>("paid", { timeout: 400 });
      await flow.step("ask", () => void world.tokens.set(flow.id, paid.token));
      const { value, error } = await paid.result;
      await flow.sleep("on", 300); // somebody may be late
      return value ?? error!.code;
    }),
  workload: async ({ app, step, clock, random, world }) => {
    const pay = async (id: string, by: string, random: { int(least: number, most: number): number }) => {
      while (!world.tokens.has(id)) await clock.sleep(20);
      await clock.sleep(random.int(0, 100) < 70 ? random.int(0, 120) : random.int(300, 600));
      const token = world.tokens.get(id)!;
      await app.complete(token, by);
      await app.complete(token, by);
    };
    const all: Promise<unknown>[] = [];
    for (let n = 0; n < 5; n++) {
      const id = `${n}`;
      all.push(step("bill", async () => {
        while (!(await app.start(Bill, undefined, { id })).ok) await clock.sleep(100);
      }));
      for (const by of ["ann", "ben"]) all.push(step("pay", (random) => pay(id, by, random)));
      await clock.sleep(random.int(0, 50));
    }
    await Promise.all(all);
  },
  check: [guarantees(Bill), ({ history }) => {
    for (const { method, key, input, outcome } of history.operations) {
      if (method !== "complete" || outcome?.type !== "ok") continue;
      const end = endOf(history.runs.find(({ id }) => id === key));
      if (end !== undefined && end !== input) throw new Error(`run ${key} got ${end}, and ${input} was ok`);
    }
  }],
};

/** Returns true if a run of the workflow has not ended, or the store cannot say. */
async function hasOpenRuns(app: Catga, workflow: string): Promise<boolean> {
  try {
    return (await Array.fromAsync(app.runs({ workflow, open: true }))).length > 0;
  } catch {
    return true;
  }
}

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
export const EXPLORED_WORKFLOWS = {
  ...{ trips, stays, meetings, quotes, versions },
  // the casts are safe: `explore` makes the world of a program by the program's own `world`
  ...{ refusals: refusals as unknown as Explored<undefined>, payments: payments as unknown as Explored<undefined> },
} as const;

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
