import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { runtimeBinary } from "../test/processes/node_process.ts";
import { makePlayground } from "./playground.ts";

describe("the playground of explore", { timeout: 120_000 }, () => {
  it("loads at most 250 kB with gzip for a program with entities, and 50 kB more for one with workflows", async () => {
    const { files, always, parts } = await makePlayground(await runtimeBinary("bun"));
    const size = (names: readonly string[]) =>
      names.reduce((sum, name) => sum + gzipSync(Buffer.from(files.get(name)!), { level: 9 }).length, 0);
    const part = (word: string) => size(parts.find((part) => part.word === word)!.files);
    assert(size(["index.html", ...always]) + part("entity") <= 256_000, `${size(["index.html", ...always])} bytes`);
    assert(part("workflow") <= 51_200, `${part("workflow")} bytes`);
    const nats = [...files.values()].filter((text) => text.includes("@nats-io/") || text.includes("node:sqlite"));
    assertEquals(nats.length, 0);
  });
});
