/** What the compiler says of a wrong guess names the right call. In Deno alone: Bun does not check types. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { before, describe, it } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { OWN_RUNTIMES, runtimeBinary } from "./processes/node_process.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const BEFORE = `
import { type Catga, command, entity, event, type Schema, stream, workflow } from "../../mod.ts";
declare const app: Catga;
declare const schema: Schema<{ sku: string }, { sku: string }>;
const Cart = entity("Cart", { initial: () => ({ skus: [""] }) });
const [Order, Placed, Items] = [command<string, number>("Order"), event<string>("Placed"), stream<string>("Items")];
const Trip = workflow<string, number>("Trip");
`;

/** Wrong guesses, each on a line, and what the compiler says. */
const GUESSES = [
  ['app.send(Trip, "a");', "Type '\"app.start(workflow, input)\"' is not assignable to type '\"app.send(command"],
  ['app.send(Placed, "a");', "Type '\"app.publish(event, input)\"' is not assignable to type '\"app.send(command"],
  ['app.send(Items, "a");', "Type '\"app.stream(stream, input)\"' is not assignable to type '\"app.send(command"],
  ['app.start(Order, "a");', "Type '\"app.send(command, input)\"' is not assignable to type '\"app.start(workflow"],
  ['app.publish(Order, "a");', "Type '\"app.send(command, input)\"' is not assignable to type '\"app.publish(event"],
  ['app.stream(Order, "a");', "Type '\"app.send(command, input)\"' is not assignable to type '\"app.stream(stream"],
  ['Cart.event("A", { apply: (cart: { skus: string[] }) => cart });', "apply is the second argument"],
  ['Cart.event("B", { input: schema, apply: () => ({ skus: [] }) });', "apply is the second argument, input an option"],
] as const;

/** The programs, by name: they are checked together, for a check takes seconds of processor. */
const PROGRAMS = {
  unsendable: `${BEFORE}\ncommand<{ close(): void }>("Pay");`,
  wrong: BEFORE + GUESSES.map(([guess]) => guess).join("\n"),
  right: `${BEFORE}
app.send(Order, "a"); app.publish(Placed, "a"); app.stream(Items, "a"); app.start(Trip, "a");
Cart.event<{ sku: string }>("A", (cart, { sku }) => ({ skus: [...cart.skus, sku] }));
Cart.event("B", (cart, { sku }) => ({ skus: [...cart.skus, sku] }), { input: schema });
`,
};

/** The errors of `deno check` for each program, one text for each error. */
async function checked(): Promise<Record<keyof typeof PROGRAMS, string[]>> {
  await mkdir(`${root}.cache`, { recursive: true });
  const folder = await mkdtemp(`${root}.cache/guesses-`);
  try {
    const names = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];
    const files = names.map((name) => `${folder}/${name}.ts`);
    for (const [at, name] of names.entries()) await writeFile(files[at], PROGRAMS[name]);
    const deno = await runtimeBinary("deno");
    const env = { ...process.env, NO_COLOR: "1" };
    const output = await new Promise<string>((resolve) => {
      const done = (_: unknown, stdout: string, stderr: string) => resolve(stdout + stderr);
      execFile(deno, ["check", ...files], { cwd: root, env }, done);
    });
    const [before, ...errors] = output.split(/^TS\d+ \[ERROR\]: /m);
    for (const file of files) assertStringIncludes(before, file.split("/").at(-1)!); // each was checked
    const of = (name: string) => errors.filter((error) => error.includes(`/${name}.ts:`));
    assertEquals(names.flatMap(of).length, errors.length, output);
    return { unsendable: of("unsendable"), wrong: of("wrong"), right: of("right") };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("the types answer a wrong guess in words", { skip: OWN_RUNTIMES[0] !== "deno" }, () => {
  let errors: Awaited<ReturnType<typeof checked>>;
  before(async () => {
    errors = await checked();
  });

  it("a type that cannot be sent: one reason, not one for each overload", () => {
    assertEquals(errors.unsendable.length, 1, errors.unsendable.join("\n"));
    const [said] = errors.unsendable[0].split("\n");
    assertEquals(
      said,
      `Argument of type '"Pay"' is not assignable to parameter of type '"cannot be sent: payload.close"'.`,
    );
  });

  it("another method for a contract, and apply among the options", () => {
    assertEquals(errors.wrong.length, GUESSES.length, errors.wrong.join("\n"));
    for (const [at, [guess, words]] of GUESSES.entries()) {
      assertStringIncludes(errors.wrong[at], guess);
      assertStringIncludes(errors.wrong[at], words);
    }
  });

  it("and say nothing of what is right", () => assertEquals(errors.right, []));
});
