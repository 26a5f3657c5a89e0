import { describe, it } from "node:test";
import { requireNatsServer } from "../../scripts/nats_server.ts";
import { keyValueSuite } from "../kv_store_suite.ts";
import { startKeyValueHarness } from "./harness_suite.ts";

const required = await requireNatsServer();

if (required.skip) describe("NatsKeyValueStore", required, () => it("needs a nats-server", () => {}));
else keyValueSuite("NATS", startKeyValueHarness);
