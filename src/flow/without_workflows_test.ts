import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startProgram } from "../../test/processes/node_process.ts";
import { plantedTree } from "../../test/processes/planted_tree.ts";

const PROGRAM = `
import { catga, command, entity, event, unwrap, workflow } from "@catga/catga";
const Say = command("Say"), Said = event("Said", { durable: true });
const Cart = entity("Cart", { initial: () => 0 });
const Added = Cart.event("Added", (count) => count + 1);
const Add = command("Add", { key: () => "c" });
const said = Promise.withResolvers();
const app = await catga({ handlers: [
  Say.handle(async (_, ctx) => void unwrap(await ctx.publish(Said))),
  Said.on(() => said.resolve(), { name: "said" }),
  Cart.handle(Add, (cart) => cart.emit(Added)),
] });
unwrap(await app.send(Say));
unwrap(await app.send(Add));
await said.promise;
const used = await app.start(workflow("One")).then(() => "started", (error) => String(error));
console.log(JSON.stringify({ used }));
await app.drain();
`;

describe("an app without workflows", () => {
  it("loads none of src/flow: it runs where there is none", { timeout: 300_000 }, async () => {
    await using tree = await plantedTree("flow-order");
    await rm(join(tree.root, "src", "flow"), { recursive: true });
    await writeFile(join(tree.root, "test", "without.ts"), PROGRAM);
    const runtime = "Bun" in globalThis ? "bun" : "deno";
    await using program = await startProgram<{ used: string }>(runtime, "test/without.ts", [], tree.root);
    const { used } = await program.line(({ used }) => used !== undefined);
    assertEquals(/Module not found|Cannot find module/.test(used), true, used);
  });
});
