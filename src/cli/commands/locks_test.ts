/**
 * Tests of what `catga locks` reads from its command line, before it connects. `cli_test.ts` tests the rest on a real
 * server.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { wrongUsage } from "../../../test/support/wrong_usage.ts";

const locks = (...args: string[]) => wrongUsage("locks", ...args);

describe("locks: its command line", () => {
  it("--kind takes lock, lead and load, also with --release", async () => {
    for (const kind of ["lock", "lead", "load"]) {
      assertEquals(await locks("--kind", kind), undefined);
      assertEquals(await locks("--kind", kind, "--release", "order:42"), undefined);
    }
    assertEquals(await locks("--kind", "key"), '--kind takes lock, lead, load; got "key"');
  });

  it("--release needs a key: an empty one does not list the locks instead", async () => {
    assertEquals(await locks("--release", ""), "--release needs the key of a lock");
    assertEquals(await locks("--release"), "--release needs a value: KEY");
  });
});
