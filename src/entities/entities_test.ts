import { describe } from "node:test";
import { catga, MemoryNetwork } from "../../mod.ts";
import { entitiesSuite } from "./entities_suite.ts";

describe("entities in memory", () => {
  const network = new MemoryNetwork();
  entitiesSuite({ start: (options) => catga({ network, ...options }) });
});
