/** How long compilers take for contracts: `deno check` and `tsc` of generated programs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import process from "node:process";
import { alternate } from "../rounds.ts";
import { resolvesToJsr } from "../surroundings.ts";
import type { Table } from "../table.ts";
import { CATGA, type Check, type Compiler, denoCheck, tsc } from "./compilers.ts";
import type { Measure } from "./section.ts";

/** Measures `deno check`, and `tsc` of two versions in Node; in Deno alone, as they do not depend on who runs them. */
export const types: Measure = async (stage, effort) => {
  if (process.versions.deno === undefined) {
    stage.leaveOut("types", "its compilers run in Deno and Node, whichever runtime runs the bench: run it in Deno");
    return [];
  }
  await using compilers = new AsyncDisposableStack();
  const all: Compiler[] = [compilers.use(await denoCheck())];
  try {
    for (const [name, version] of [["tsc 5.9", "5.9.3"], ["tsc 7", "7.0.2"]]) {
      all.push(compilers.use(await tsc(name, version)));
    }
  } catch (error) {
    stage.leaveOut("types under tsc", (error as Error).message.split("\n")[0]);
  }
  const programs: readonly CheckedProgram[] = [
    { name: ONE, text: contracts(1) },
    { name: "200 contracts", text: contracts(200), few: true },
    { name: ZOD_ALONE, text: schemas(200, byHand) },
    { name: INFERRED_ALONE, text: GENERIC + schemas(200, inferred), few: true },
    { name: INFERRED_BESIDE, text: PING + GENERIC + schemas(200, inferred) },
    { name: WITH_SCHEMAS, text: schemas(200, withContracts) },
    { name: "a model with 1 reference to itself", text: recursive(1), few: true },
    { name: "a model with 3 references to itself", text: recursive(3), few: true },
    { name: RECURSIVE, text: recursive(8) },
    { name: RECURSIVE_BUSY, text: recursive(8), busy: true },
  ];
  const checked = effort.floors ? programs.filter(({ name }) => IN_FLOORS.includes(name)) : programs;
  const players = checked.flatMap(({ name, text, few, busy }) =>
    (few ? all.slice(0, 1) : all).map((compiler) => ({
      name: nameOf(name, compiler),
      play: async () => {
        await using _ = busy ? await busyCores() : undefined;
        return await compiler.check(text);
      },
    }))
  );
  for (const compiler of all) await refuse(compiler); // loads what all have in common
  const rounds = await alternate(players, effort.rounds(5, 2));
  const table = (of: (check: Check) => number) => ({
    unit: "ms" as const,
    columns: all.map(({ name }) => name),
    rows: checked.map(({ name }) => ({
      name,
      cells: all.map((compiler) => (rounds.get(nameOf(name, compiler)) ?? []).map(of)),
    })),
    pairs: [
      ...programs.slice(1).map(({ name }) => ({ row: name, against: ONE })),
      { row: INFERRED_ALONE, against: ZOD_ALONE },
      { row: WITH_SCHEMAS, against: ZOD_ALONE },
      { row: INFERRED_BESIDE, against: ZOD_ALONE },
      { row: WITH_SCHEMAS, against: INFERRED_BESIDE },
    ],
  });
  const tables: Table[] = [{
    ...table(({ ms }) => ms),
    id: "types",
    title: "Types: check of a program with contracts",
    notes: [
      "each contract has two models of its own, a handler and a send; the rest is the start of the compiler, and the " +
      `types of Catga: for deno check ${
        resolvesToJsr() ? "the package, as published at a registry on this machine" : "its sources, which it checks too"
      }, for tsc its declarations, as JSR's registry for npm has them`,
      "each check is the first one of its program, as in a fresh checkout",
      "by hand: the same schemas, a function that takes and returns their types, and a call of a send with these types",
      "inferred by hand: the least that infers the types of key, handler, send and result from the schemas, with no " +
      "comparison of payloads with what can be sent, and no failures",
    ],
  }];
  if ([...rounds.values()].flat().every(({ processor }) => processor !== undefined)) {
    tables.push({
      ...table(({ processor = NaN }) => processor),
      id: "types-processor",
      title: "Types: the same, processor of all threads",
      notes: [],
    });
  }
  return tables;
};

const ONE = "one contract";
const WITH_SCHEMAS = "200 contracts with schemas of zod";
const ZOD_ALONE = "200 functions with schemas of zod, by hand";
const INFERRED_ALONE = "200 functions with schemas of zod, inferred by hand";
const INFERRED_BESIDE = "200 functions inferred by hand, in a program with a command of Catga";
const RECURSIVE = "a model with 8 references to itself";
const RECURSIVE_BUSY = `${RECURSIVE}, beside a busy process a core`;
/** Those of which docs/internals/measurements.md, "Floors", has figures. */
const IN_FLOORS = [ZOD_ALONE, INFERRED_BESIDE, WITH_SCHEMAS, RECURSIVE_BUSY];

/** A program to check. */
interface CheckedProgram {
  readonly name: string;
  readonly text: string;
  /** True if the first compiler alone checks it. */
  readonly few?: boolean;
  /** True if other work runs meanwhile. */
  readonly busy?: boolean;
}

/** Rejects if a compiler lets a wrong payload pass, as one does that has not found the types of Catga. */
async function refuse(compiler: Compiler): Promise<void> {
  const wrong = contracts(1).replace('{ id: "a"', "{ id: 1");
  const passed = await compiler.check(wrong).then(() => true, () => false);
  if (passed) throw new Error(`${compiler.name} finds no mistake in a wrong program`);
}

function nameOf(program: string, { name }: Compiler): string {
  return `${program}, ${name}`;
}

/** Has each core do other work until the disposal. */
async function busyCores(): Promise<AsyncDisposable> {
  const words = process.versions.deno === undefined ? ["-e"] : ["eval"];
  const start = () => spawn(process.execPath, [...words, "for (;;);"], { stdio: "ignore" });
  const spinning: ChildProcess[] = cpus().map(start);
  await Promise.all(spinning.map((child) => once(child, "spawn")));
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(spinning.map((child) => {
        const ended = once(child, "close");
        child.kill("SIGKILL");
        return ended;
      }));
    },
  };
}

function contracts(count: number): string {
  return importing("type Catga, command") + Array.from({ length: count }, (_, n) => `
interface Order${n} {
  readonly id: string;
  readonly at: Date;
  readonly tags?: ReadonlyMap<string, bigint>;
  readonly lines: readonly Line${n}[];
}
interface Line${n} {
  readonly sku: string;
  readonly price: { readonly cents: number; readonly currency: "EUR" | "USD" };
}
export const Place${n} = command<Order${n}, Line${n}[]>("Place${n}", { idempotent: true, key: ({ id }) => id });
export const place${n} = Place${n}.handle(({ lines }) => [...lines]);
export const send${n} = (app: Catga) => app.send(Place${n}, { id: "a", at: new Date(), lines: [] });
`).join("");
}

/** A program with two schemas for each of `count` contracts. `use`: the lines that use the schemas of one of them. */
function schemas(count: number, use: { readonly names?: string; readonly lines: (n: number) => string }): string {
  const catga = use.names === undefined ? "" : importing(use.names);
  return `${catga}import { z } from "zod";\n` + Array.from({ length: count }, (_, n) => `
export const Order${n} = z.object({
  id: z.string(),
  at: z.date(),
  tags: z.array(z.string()).optional(),
  kind: z.enum(["a${n}", "b", "c"]),
  lines: z.array(z.object({
    sku: z.string(),
    price: z.object({ cents: z.number().int(), currency: z.enum(["EUR", "USD"]) }),
  })),
});
export const Placed${n} = z.object({
  total: z.number(),
  lines: z.array(z.object({ sku: z.string(), left: z.number() })),
});
${use.lines(n)}`).join("");
}

const withContracts = {
  names: "type Catga, command",
  lines: (n: number) => `
export const Place${n} = command("Place${n}", {
  input: Order${n},
  output: Placed${n},
  idempotent: true,
  key: ({ id }) => id,
});
export const place${n} = Place${n}.handle(({ lines }) => ({
  total: lines.length,
  lines: lines.map(({ sku }) => ({ sku, left: 1 })),
}));
export const send${n} = (app: Catga) => app.send(Place${n}, { id: "a", at: new Date(), kind: "b", lines: [] })
  .then((result) => result.ok ? result.value.total : 0);
`,
};

const byHand = {
  lines: (n: number) => `
export const place${n} = ({ lines }: z.output<typeof Order${n}>): z.input<typeof Placed${n}> => ({
  total: lines.length,
  lines: lines.map(({ sku }) => ({ sku, left: 1 })),
});
export const send${n} = (
  send: (name: string, input: z.input<typeof Order${n}>) => Promise<z.output<typeof Placed${n}> | undefined>,
) => send("Place${n}", { id: "a", at: new Date(), kind: "b", lines: [] }).then((result) => result?.total ?? 0);
`,
};

/** What a program would write to have its types inferred from two schemas, and no more. */
const GENERIC = `
interface Schema<In, Out> {
  readonly "~standard": { readonly types?: { readonly input: In; readonly output: Out } | undefined };
}
type Later<T> = T | Promise<T>;
interface Contract<Sent, Received, Returned, Result> {
  readonly name: string;
  handle(run: (input: Received) => Later<Returned>): Handler;
  readonly "~types"?: [Sent, Result];
}
interface Handler { readonly name: string }
interface OwnApp {
  send<Sent, Result>(contract: { readonly "~types"?: [Sent, Result] }, input: Sent): Promise<Answer<Result>>;
}
type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: Error };
declare function define<Sent, Received, Returned, Result>(name: string, options: {
  readonly input: Schema<Sent, Received>;
  readonly output: Schema<Returned, Result>;
  readonly idempotent?: boolean;
  readonly key?: (input: Received) => string;
}): Contract<Sent, Received, Returned, Result>;
`;

/** A command as small as it may be: what comes with it are Catga's types. */
const PING = `${importing("command")}export const Ping = command<void, void>("Ping");\n`;

const inferred = {
  lines: (n: number) =>
    withContracts.lines(n).replace("(app: Catga)", "(app: OwnApp)").replace("= command(", "= define("),
};

function recursive(references: number): string {
  const members = Array.from({ length: references }, (_, n) => `  readonly other${n}?: Model;\n`).join("");
  return `${importing("query")}
interface Model {
  readonly id: string;
${members}}
export const Find = query<Model, Model>("Find");
`;
}

function importing(names: string): string {
  return `import { ${names} } from ${JSON.stringify(CATGA)};\n`;
}
