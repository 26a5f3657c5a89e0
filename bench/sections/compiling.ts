/** How long the compiler takes for contracts: `deno check` of generated programs. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { alternate } from "../rounds.ts";
import type { Measure } from "./section.ts";

/** Measures `deno check`; with Bun, that of the `deno` on the PATH. */
export const types: Measure = async (_stage, effort) => {
  // within the project, whose package.json says which zod it is
  const cache = fileURLToPath(new URL(".cache/", ROOT));
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "types-"));
  try {
    const programs = [
      { name: ONE, text: contracts(1) },
      { name: "200 contracts", text: contracts(200) },
      { name: ZOD_ALONE, text: schemas(200, byHand) },
      { name: INFERRED_ALONE, text: GENERIC + schemas(200, inferred) },
      { name: INFERRED_BESIDE, text: PING + GENERIC + schemas(200, inferred) },
      { name: WITH_SCHEMAS, text: schemas(200, withContracts) },
      { name: "a model with 1 reference to itself", text: recursive(1) },
      { name: "a model with 3 references to itself", text: recursive(3) },
      { name: "a model with 8 references to itself", text: recursive(8) },
    ];
    const players = programs.map(({ name, text }, at) => ({
      name,
      play: () => check(join(folder, `program${at}.ts`), text),
    }));
    await players[0].play(); // loads what all have in common
    const rounds = await alternate(players, effort.rounds(5, 2));
    return [{
      id: "types",
      title: "Types: deno check of a program with contracts",
      unit: "ms",
      columns: ["takes"],
      rows: [...rounds].map(([name, cells]) => ({ name, cells: [cells] })),
      pairs: [
        ...programs.slice(1).map(({ name }) => ({ row: name, against: ONE })),
        { row: INFERRED_ALONE, against: ZOD_ALONE },
        { row: WITH_SCHEMAS, against: ZOD_ALONE },
        { row: INFERRED_BESIDE, against: ZOD_ALONE },
        { row: WITH_SCHEMAS, against: INFERRED_BESIDE },
      ],
      notes: [
        "each contract has two models of its own, a handler and a send; the rest is the start of Deno, and the types of Catga",
        "by hand: the same schemas, a function that takes and returns their types, and a call of a send with these types",
        "inferred by hand: the least that infers the types of key, handler, send and result from the schemas, with no " +
        "comparison of payloads with what can be sent, and no failures",
      ],
    }];
  } finally {
    await rm(folder, { recursive: true });
  }
};

const ONE = "one contract";
const WITH_SCHEMAS = "200 contracts with schemas of zod";
const ZOD_ALONE = "200 functions with schemas of zod, by hand";
const INFERRED_ALONE = "200 functions with schemas of zod, inferred by hand";
const INFERRED_BESIDE = "200 functions inferred by hand, in a program with a command of Catga";
const ROOT = new URL("../../", import.meta.url);
let checks = 0;

/** ms of `deno check` for a program, which differs each time: Deno remembers what it has checked. */
async function check(file: string, text: string): Promise<number> {
  await writeFile(file, `// ${process.pid} ${++checks}\n${text}`);
  const deno = process.versions.deno === undefined ? "deno" : process.execPath;
  const args = ["check", "--config", fileURLToPath(new URL("deno.json", ROOT)), file];
  const start = performance.now();
  await new Promise<void>((resolve, reject) => {
    execFile(deno, args, { cwd: fileURLToPath(ROOT), timeout: 120_000 }, (error, _, stderr) => {
      if (error) reject(new Error(`deno check failed: ${stderr}`, { cause: error }));
      else resolve();
    });
  });
  return performance.now() - start;
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
  return `import { ${names} } from ${JSON.stringify(new URL("mod.ts", ROOT).href)};\n`;
}
