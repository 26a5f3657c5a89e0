/** The outbox of docs/recipes.md, as it stands there, while two nodes take themselves for its leader. */
import { assertEquals } from "@std/assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import type { Result, Sender } from "../mod.ts";

interface Outbox {
  book(booking: { room: string; guest: string }): void;
  relay(app: Pick<Sender, "publish">): Promise<void>;
}

/** The program of the page, up to its use. */
async function outbox(): Promise<Outbox> {
  const page = await readFile(new URL("../docs/recipes.md", import.meta.url), "utf8");
  const program = page.split("## An outbox")[1].split("```ts\n")[1].split("const told")[0];
  const folder = await mkdtemp(join(tmpdir(), "catga-outbox-"));
  try {
    const file = join(folder, "outbox.ts");
    const catgaUrl = new URL("../mod.ts", import.meta.url).href;
    await writeFile(file, `${program.replace("@catga/catga", catgaUrl)}\nexport { book, relay };\n`);
    return await import(pathToFileURL(file).href) as Outbox;
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("the outbox of the recipes", () => {
  it("publishes what a leader wrote that is followed by another before its row is deleted", async () => {
    const { book, relay } = await outbox();
    const guests: string[] = [];
    const published = (payload: unknown) => {
      guests.push((payload as { guest: string }).guest);
      return Promise.resolve({ ok: true, value: undefined } as Result<never>);
    };
    book({ room: "1", guest: "ada" });
    const stored = Promise.withResolvers<void>();
    const wakes = Promise.withResolvers<void>();
    const frozen = relay({
      async publish(_: unknown, payload: unknown) {
        stored.resolve();
        await wakes.promise;
        return published(payload);
      },
    } as Pick<Sender, "publish">);
    await stored.promise;
    const next = { publish: (_: unknown, payload: unknown) => published(payload) } as Pick<Sender, "publish">;
    await relay(next);
    book({ room: "2", guest: "bob" });
    wakes.resolve();
    await frozen;
    await relay(next);
    assertEquals([...new Set(guests)], ["ada", "bob"]);
  });
});
