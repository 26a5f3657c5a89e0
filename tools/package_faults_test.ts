import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { packageFaults } from "./consumer/package_faults.ts";

const CATGA = "http://127.0.0.1:4873/@catga/catga/0.1.0/mod.ts";
const CORE = "http://127.0.0.1:4873/@nats-io/nats-core/3.4.0/src/mod.ts";
const KV = "http://127.0.0.1:4873/@nats-io/kv/3.4.0/src/mod.ts";
const GRAPH = [CATGA, CORE, KV, "node:buffer", "npm:/tweetnacl@1.0.3"];

const faultsWith = (...more: string[]) => packageFaults([...GRAPH, ...more], ["@nats-io/kv"], ["tweetnacl"]).faults;

describe("the graph of published modules", () => {
  it("has no fault with each package once, and of npm what it may have", () => {
    assertEquals(faultsWith(CATGA.replace("mod.ts", "src/catga.ts")), []);
    assertEquals(Object.fromEntries(packageFaults(GRAPH, [], ["tweetnacl"]).files), {
      "@catga/catga/0.1.0": 1,
      "@nats-io/nats-core/3.4.0": 1,
      "@nats-io/kv/3.4.0": 1,
    });
  });

  it("finds a second copy of a package from JSR", () => {
    assertEquals(faultsWith(CORE.replace("3.4.0", "3.3.1")), [
      "more than one copy of @nats-io/nats-core: @nats-io/nats-core/3.4.0,@nats-io/nats-core/3.3.1",
    ]);
  });

  it("finds a second copy of a package from npm, and any other module", () => {
    for (
      const specifier of [
        "npm:/@nats-io/nats-core@3.4.0",
        "npm:@nats-io/kv@3.4.0/internal",
        "npm:/zod@4.6.7",
        "https://esm.sh/@nats-io/kv@3.4.0",
        "http://127.0.0.1:4873/@std/assert/1.0.19/mod.ts",
      ]
    ) assertEquals(faultsWith(specifier), [`${specifier} is no module of Catga or NATS from JSR`]);
  });

  it("finds that a package is missing", () => {
    assertEquals(packageFaults([CATGA, CORE], ["@nats-io/kv"], []).faults, ["@nats-io/kv is missing"]);
  });
});
