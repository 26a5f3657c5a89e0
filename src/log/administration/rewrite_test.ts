import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { rewriteEntry } from "./rewrite.ts";

async function setUp() {
  const clock = new VirtualClock();
  const until = <T>(promise: Promise<T>) => clock.until(promise);
  const bucket = await until(new MemoryKeyValueStore(clock).open("records"));
  await until(bucket.put("key", "0"));
  const like = (update: Bucket["update"]): Bucket => ({ ...bucket, name: "x", get: (key) => bucket.get(key), update });
  const value = async () => (await until(bucket.get("key")))?.value;
  return { clock, until, bucket, like, value };
}
const grown = (text: string) => `${text}+`;
const silence = () => new CatgaError("UNAVAILABLE", "no answer", { retryable: true });

describe("rewriteEntry", () => {
  it("is tried again when another write came first, and when the answer was lost, without being done twice", async () => {
    const { clock, until, bucket, like, value } = await setUp();
    let tries = 0;
    const busy = like(async (key, text, revision) => {
      if (++tries <= 20) await bucket.put(key, `${tries}`);
      const made = await bucket.update(key, text, revision);
      if (tries === 21) throw silence();
      return made;
    });
    assertEquals(
      await until(rewriteEntry(busy, "key", clock, (text) => text.endsWith("+") ? undefined : grown(text))),
      true,
    );
    assertEquals([await value(), tries], ["20+", 21]);
  });

  it("there is no entry: false; a change that throws rejects; a store that does not answer is UNAVAILABLE", async () => {
    const { clock, until, bucket, like, value } = await setUp();
    assertEquals(await until(rewriteEntry(bucket, "none", clock, grown)), false);
    const thrown = new TypeError("not so");
    assertEquals(
      await assertRejects(() =>
        until(rewriteEntry(bucket, "key", clock, () => {
          throw thrown;
        }))
      ),
      thrown,
    );
    const deaf = like(() => Promise.reject(silence()));
    assertEquals(
      (await assertRejects(() => until(rewriteEntry(deaf, "key", clock, grown)), CatgaError)).code,
      "UNAVAILABLE",
    );
    const contested = like(() => Promise.resolve(undefined));
    const error = await assertRejects(() => until(rewriteEntry(contested, "key", clock, grown)), CatgaError);
    assertEquals([error.message, await value()], ["others write key all the time; try again", "0"]);
  });
});
