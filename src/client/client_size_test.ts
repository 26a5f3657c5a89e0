import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { clientSize } from "../../bench/client_size.ts";
import { runtimeBinary } from "../../test/processes/node_process.ts";

describe("client in a browser", { timeout: 120_000 }, () => {
  it("has at most 4,350 bytes minified and compressed, and no other file of Catga", async () => {
    const { compressed, files } = await clientSize(await runtimeBinary("bun"));
    assert(compressed <= 4_350, `${compressed} bytes`);
    assertEquals(files, ["src/client/mod.ts", "src/client/values.ts"]);
  });
});
