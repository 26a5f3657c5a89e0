import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, fail } from "../../../mod.ts";
import { MemoryKeyValueStore } from "../../memory/key_value_store.ts";
import { systemClock } from "../../ports/clock.ts";
import { claimKey } from "./claim_record.ts";
import { forgetFailure } from "./forget_failure.ts";
import { MemoryNetwork } from "../../testing/mod.ts";

const Charge = command<{ ok: boolean }, number>("Charge", { idempotent: true });

describe("forgetFailure", () => {
  it("after it the id of a final failure runs again; a recorded value stays", async () => {
    let runs = 0;
    const handlers = Charge.handle(({ ok }) => (runs++, ok ? runs : fail("REFUSED", "no", { final: true })));
    const network = new MemoryNetwork();
    await using app = await catga({ network, handlers });
    const send = async (id: string, ok: boolean) => {
      const result = await app.send(Charge, { ok }, { id });
      return result.ok ? result.value : result.error.code;
    };
    assertEquals([await send("a", false), await send("a", false), runs], ["REFUSED", "REFUSED", 1]);
    assertEquals([await send("b", true), await send("b", true), runs], [2, 2, 2]);
    const connection = network.connect();
    const bucket = await connection.store.open("catga_default_idempotency");
    for (const id of ["a", "b", "none"]) await forgetFailure(bucket, "Charge", id);
    assertEquals([await send("a", false), runs], ["REFUSED", 3]);
    assertEquals([await send("b", true), runs], [2, 3]);
    await connection.close();
  });

  it("a claim of an attempt that runs, and what is no record, stay", async () => {
    const bucket = await new MemoryKeyValueStore(systemClock).open("idempotency");
    const running = JSON.stringify({ state: "running", fingerprint: "f", nonce: "n", endpoint: "a.1" });
    for (const [id, text] of [["a", running], ["b", "nonsense"]]) {
      await bucket.put(claimKey("Charge", id), text);
      await forgetFailure(bucket, "Charge", id);
      assertEquals((await bucket.get(claimKey("Charge", id)))?.value, text);
    }
  });
});
