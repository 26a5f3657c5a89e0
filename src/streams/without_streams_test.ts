import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startProgram } from "../../test/processes/node_process.ts";
import { plantedTree } from "../../test/processes/planted_tree.ts";

const PROGRAM = `
import { catga, command, stream, unwrap } from "@catga/catga";
const Say = command("Say");
const app = await catga({ handlers: Say.handle(() => {}) });
unwrap(await app.send(Say));
const used = await app.stream(stream("One")).next().then(() => "read", (error) => String(error));
console.log(JSON.stringify({ used }));
await app.drain();
`;

describe("an app without streams", () => {
  it("loads none of src/streams: it runs where there is none", async () => {
    await using tree = await plantedTree("flow-order");
    await rm(join(tree.root, "src", "streams"), { recursive: true });
    await writeFile(join(tree.root, "test", "without.ts"), PROGRAM);
    const runtime = "Bun" in globalThis ? "bun" : "deno";
    await using program = await startProgram<{ used: string }>(runtime, "test/without.ts", [], tree.root);
    const { used } = await program.line(({ used }) => used !== undefined);
    assertEquals(/Module not found|Cannot find module/.test(used), true, used);
  });
});
