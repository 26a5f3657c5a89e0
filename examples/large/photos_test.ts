import { assertEquals, assertStringIncludes } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { catga, event } from "@catga/catga";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const PHOTOS = fileURLToPath(new URL("photos.ts", import.meta.url));

/** Starts the program; `printed` resolves with the first group of what it prints. */
function start(url: string): { child: ChildProcess; printed(words: RegExp): Promise<string> } {
  const args = process.versions.deno === undefined ? [] : ["run", "-A", "--no-check"];
  const env = { ...process.env, NATS_URL: url, PORT: "0", NO_COLOR: "1" };
  const child = spawn(process.execPath, [...args, PHOTOS], { env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => output += text); // a pipe
  return { child, printed: async (words) => (await eventually(`${words}`, () => words.exec(output)?.[1]))! };
}

describe("photos.ts", await requireNatsServer(), () => {
  it("what is larger than a message of NATS is stored whole, and read whole by whoever handles the event", async () => {
    await using server = await startNatsServer();
    const { child, printed } = start(server.url);
    try {
      const address = await printed(/(http:\S+)/);
      const put = (path: string, bytes: number) =>
        fetch(`${address}/photos/${path}`, { method: "PUT", body: new Uint8Array(bytes).fill(7) });
      const size = 5 * 1_048_576 + 1;
      const first = await put("1", size);
      assertEquals(first.status, 201);
      await first.body?.cancel();
      await printed(new RegExp(`^1 has (${size}) bytes$`, "m"));
      // the same thing in a payload says how it is done
      await using app = await catga({ nats: server.url });
      const Large = event<{ data: string }>("Large", { durable: true });
      const { error } = await app.publish(Large, { data: "x".repeat(size) });
      assertEquals(error?.code, "TOO_LARGE");
      assertStringIncludes(error!.message, "store what is large elsewhere and publish a reference");
    } finally {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  });

  it("is what the docs show", async () => {
    const source = await readFile(PHOTOS, "utf8");
    const docs = await readFile(new URL("../../docs/recipes.md", import.meta.url), "utf8");
    const [, shown] = /## Large payloads\n[^]*?```ts check\n([^]*?)```/.exec(docs)!;
    assertStringIncludes(source, shown.trim());
  });
});
