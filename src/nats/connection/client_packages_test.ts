import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runtimeBinary } from "../../../test/processes/node_process.ts";

const FILE = new URL("client_packages.ts", import.meta.url);

describe("client_packages", () => {
  it("names packages where bundlers find them (webpack did not: a program could not connect), and Deno does not", async () => {
    const source = await readFile(FILE, "utf8");
    const named = [...source.matchAll(/import\(\("([^"]+)"\)\)/g)].map(([, name]) => name).sort();
    assertEquals(named, [
      "@nats-io/jetstream",
      "@nats-io/kv",
      "@nats-io/transport-node",
      "@nats-io/transport-node/lib/node_transport.js",
    ]);
    // Deno downloads what it sees, for programs that never need it
    const info = await promisify(execFile)(await runtimeBinary("deno"), ["info", "--json", fileURLToPath(FILE)]);
    const { modules } = JSON.parse(info.stdout) as { readonly modules: readonly { readonly specifier: string }[] };
    assertEquals(modules.filter(({ specifier }) => !specifier.startsWith("file:")), []);
  });
});
