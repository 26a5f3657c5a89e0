import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { cliHere } from "../../test/support/cli_here.ts";

describe("contracts.json", () => {
  it("is what `catga contracts` prints of the shop", async () => {
    const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
    const { out } = await cliHere([
      "contracts",
      ...["contracts", "orders", "mails", "payments"].map((name) => at(`${name}.ts`)),
    ]);
    assertEquals(await readFile(at("contracts.json"), "utf8"), out);
  });
});
