/** Tests of the counts of each contract, and of how many contracts and codes are counted separately. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command, query } from "../contract/declaration/definition.ts";
import { CatgaError } from "../error.ts";
import { ContractCounts, Counts } from "./contract_counts.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { failure, Refusal } from "./outcome.ts";

describe("counts", () => {
  it("a handler that ends is handled; one that fails under its code, too; a refused message only failed", () => {
    const counts = new ContractCounts(query("Q"));
    counts.inHand = 2;
    counts.endInHand({ ok: true, value: 1 });
    counts.endInHand(failed("NO_STOCK"));
    counts.end(failed("NO_STOCK"));
    counts.end(new Refusal("OVERLOADED", { contract: query("Q"), node: "n", remaining: () => 0 }));
    assertEquals(counts.toJSON(), { name: "Q", kind: "query", handled: 3, failed: { NO_STOCK: 2, OVERLOADED: 1 } });
  });

  it("the last failure that is no decision of the handler is kept, with its message; the beginning of a long one", () => {
    for (const end of ["end", "localResult"] as const) {
      const counts = new ContractCounts(query("Q"));
      counts[end](failed("NO_STOCK"));
      assertEquals("failure" in counts.toJSON(), false);
      counts[end](failure("HANDLER_FAILED", "it threw"));
      for (const code of ["NO_STOCK", "CANCELLED"]) counts[end](failed(code));
      assertEquals(counts.toJSON().failure, "HANDLER_FAILED: it threw");
      counts[end](failure("TIMEOUT", "x".repeat(1_000)));
      assertEquals(counts.toJSON().failure, `TIMEOUT: ${"x".repeat(391)}`);
    }
  });

  it("a send by the shortest way is sent and handled, and fails in both", () => {
    const counts = new ContractCounts(command("C"));
    counts.localResult({ ok: true, value: 1 });
    counts.localBegun += 2;
    counts.localEnd(failed("GONE"), undefined);
    const expected = {
      name: "C",
      kind: "command",
      handled: 2,
      failed: { GONE: 1 },
      inHand: 1,
      sent: 2,
      sendFailed: { GONE: 1 },
    };
    assertEquals<unknown>(counts.toJSON(), expected);
  });

  it("Catga's codes are told apart, however many a handler makes (HANDLER_FAILED behind 64 raised no alarm)", () => {
    const counts = new ContractCounts(query("Q"));
    for (let n = 0; n < 100; n++) counts.end(failed(`NO_${n}`));
    for (const code of ["HANDLER_FAILED", "OUTCOME_UNKNOWN"]) counts.end(failed(code));
    const { NO_63, NO_64, _OTHER, HANDLER_FAILED, OUTCOME_UNKNOWN } = counts.toJSON().failed!;
    assertEquals({ NO_63, NO_64, _OTHER, HANDLER_FAILED, OUTCOME_UNKNOWN }, {
      ...{ NO_63: 1, NO_64: undefined, _OTHER: 36, HANDLER_FAILED: 1, OUTCOME_UNKNOWN: 1 },
    });
  });

  it("latencies end with the last bucket that has any", () => {
    const counts = new ContractCounts(query("Q"));
    for (const ms of [0, 0.001, 0.004]) counts.took(ms);
    assertEquals(counts.toJSON().latency, [1, 1, 0, 0, 0, 1]);
  });

  it("runs that are many in a ms are timed by few, each of which stands for those since the one before", async () => {
    const clock = new VirtualClock();
    const counts = new ContractCounts(query("Q"));
    let timed = 0;
    for (let n = 0; n < 10_000; n++) {
      const timing = counts.timing(clock);
      if (timing !== undefined) timed++;
      timing?.end();
    }
    assertEquals(timed, 14); // the timed runs stand for 1, 1, 2, 4, … runs
    const [all] = counts.toJSON().latency!;
    assertEquals(all > 5_000 && all <= 10_000, true, `${all}`);
    // after `toJSON`, which may be called again soon, each of a few runs is timed
    for (let n = 0; n < 5; n++) {
      const timing = counts.timing(clock);
      await clock.advance(100);
      timing?.end();
    }
    assertEquals(counts.toJSON().latency!.at(-1), 5);
  });

  it("codes after the first 64 are _OTHER", () => {
    const counts = new ContractCounts(query("Q"));
    for (let n = 0; n < 100; n++) counts.refused(`CODE_${n}`);
    counts.refused("CODE_7");
    const codes = counts.toJSON().failed!;
    assertEquals([Object.keys(codes).length, codes.CODE_7, codes._OTHER], [65, 2, 36]);
  });

  it("are kept for 16,384 contracts, and not for those of Catga's own", () => {
    const counts = new Counts();
    for (let n = 0; n < 20_000; n++) counts.of(query(`Q${n}`)).handled = 1;
    counts.of({ kind: "command", name: "@shop/orders" }).handled = 1;
    assertEquals([counts.all.length, counts.find("@shop/orders")], [16_384, undefined]);
  });

  it("all begins with the busiest", () => {
    const counts = new Counts();
    for (const [name, sent] of [["A", 1], ["B", 3], ["C", 2]] as const) counts.of(query(name)).sent = sent;
    assertEquals(counts.all.map(({ name }) => name), ["B", "C", "A"]);
  });
});

function failed(code: string) {
  return { ok: false, error: new CatgaError(code, "no") } as const;
}
