import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { contractOptions } from "./contract_options.ts";

const refusal = (kind: "command" | "query" | "event", options: object): string =>
  assertThrows(() => contractOptions(kind, "X", options), TypeError).message;

describe("contractOptions", () => {
  it("without options: an empty record, the same one for every contract", () => {
    assertEquals(contractOptions("query", "X", undefined), {});
    assertStrictEquals(contractOptions("query", "X", undefined), contractOptions("event", "Y", undefined));
  });

  it("an option that is undefined is left out", () => {
    const names = ["input", "output", "failures", "key", "route", "ordered", "timeout", "retries", "idempotent", "id"];
    const options = Object.fromEntries(names.map((name) => [name, undefined]));
    assertEquals(Object.keys(contractOptions("command", "X", options)), []);
    assertEquals(contractOptions("command", "X", { idempotent: { ttl: undefined } }).idempotent, { ttl: undefined });
    const tenYears = { idempotent: { ttl: 10 * 366 * 86_400_000 } };
    assertEquals(contractOptions("command", "X", tenYears), tenYears);
  });

  it("are a frozen copy, lists too", () => {
    const failures = ["SOLD_OUT"];
    const options = contractOptions("query", "X", { failures });
    failures.push("LATER");
    assertEquals(options.failures, ["SOLD_OUT"]);
    assert(Object.isFrozen(options) && Object.isFrozen(options.failures));
  });

  it("failures: an array of codes", () => {
    const must = 'contract X: failures must be an array of codes, like ["SOLD_OUT"]; got';
    assertEquals(refusal("command", { failures: "SOLD_OUT" }), `${must} "SOLD_OUT"`);
    assertEquals(refusal("query", { failures: ["SOLD_OUT", 7] }), `${must} an array`);
    assertEquals(refusal("query", { failures: [""] }), `${must} an array`);
    assertEquals(
      refusal("event", { failures: [] }),
      "contract X: unknown option failures; it takes input, durable, key, meta, version, redact",
    );
  });

  it("id: a function, of an idempotent command", () => {
    const id = () => "1";
    const must = "contract X: id must be a function of the payload that returns a string; got";
    assertEquals(refusal("command", { idempotent: true, id: "1" }), `${must} "1"`);
    const needs = "contract X: id is of an idempotent command: give it idempotent: true, too";
    assertEquals(refusal("command", { id }), needs);
    assertEquals(refusal("command", { id, idempotent: false }), needs);
    assertEquals(refusal("query", { id }).startsWith("contract X: unknown option id; it takes "), true);
    assertStrictEquals(contractOptions("command", "X", { id, idempotent: { ttl: 5_000 } }).id, id);
  });
});
