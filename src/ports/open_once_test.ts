import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { openOnce } from "./open_once.ts";

const opened = { name: "bucket" };

describe("openOnce", () => {
  it("opens the bucket at the first call, once for all callers", async () => {
    let opens = 0;
    const bucket = openOnce(() => Promise.resolve((opens++, opened)));
    assertEquals(opens, 0);
    assertEquals(await Promise.all([bucket(), bucket()]), [opened, opened]);
    assertEquals(await bucket(), opened);
    assertEquals(opens, 1);
  });

  it("rejects for all who wait for an opening that fails, and opens again at the next call", async () => {
    let opens = 0;
    const bucket = openOnce(() => opens++ === 0 ? Promise.reject(new Error("no server")) : Promise.resolve(opened));
    const first = [bucket(), bucket()];
    for (const each of first) await assertRejects(() => each, Error, "no server");
    assertEquals(await bucket(), opened);
    assertEquals(opens, 2);
  });
});
