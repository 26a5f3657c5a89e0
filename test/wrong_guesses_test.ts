/** What the compiler says of a wrong guess names the right call. In Deno alone: Bun does not check types. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
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

/** What `deno check` says of a program, one text for each error. */
async function errorsOf(code: string): Promise<string[]> {
  await mkdir(`${root}.cache`, { recursive: true });
  const folder = await mkdtemp(`${root}.cache/guesses-`);
  try {
    await writeFile(`${folder}/program.ts`, code);
    const deno = await runtimeBinary("deno");
    const env = { ...process.env, NO_COLOR: "1" };
    const output = await new Promise<string>((resolve) => {
      const done = (_: unknown, stdout: string, stderr: string) => resolve(stdout + stderr);
      execFile(deno, ["check", `${folder}/program.ts`], { cwd: root, env }, done);
    });
    return output.split(/^TS\d+ \[ERROR\]: /m).slice(1);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("the types answer a wrong guess in words", { skip: OWN_RUNTIMES[0] !== "deno" }, () => {
  it("a type that cannot be sent: one reason, not one for each overload", async () => {
    const errors = await errorsOf(`${BEFORE}\ncommand<{ close(): void }>("Pay");`);
    assertEquals(errors.length, 1, errors.join("\n"));
    const [said] = errors[0].split("\n");
    assertEquals(
      said,
      `Argument of type '"Pay"' is not assignable to parameter of type '"cannot be sent: payload.close"'.`,
    );
  });

  it("another method for a contract, and apply among the options", async () => {
    const errors = await errorsOf(BEFORE + GUESSES.map(([guess]) => guess).join("\n"));
    assertEquals(errors.length, GUESSES.length, errors.join("\n"));
    for (const [at, [guess, words]] of GUESSES.entries()) {
      assertStringIncludes(errors[at], guess);
      assertStringIncludes(errors[at], words);
    }
  });

  it("and say nothing of what is right", async () => {
    const right = `
app.send(Order, "a"); app.publish(Placed, "a"); app.stream(Items, "a"); app.start(Trip, "a");
Cart.event<{ sku: string }>("A", (cart, { sku }) => ({ skus: [...cart.skus, sku] }));
Cart.event("B", (cart, { sku }) => ({ skus: [...cart.skus, sku] }), { input: schema });
`;
    assertEquals(await errorsOf(BEFORE + right), []);
  });
});
