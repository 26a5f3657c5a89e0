import { describe, it } from "node:test";
import { requireNatsServer } from "../../scripts/nats_server.ts";
import { transportSuite } from "../transport_suite.ts";
import { startTransportHarness } from "./harness_suite.ts";

const required = await requireNatsServer();

if (required.skip) describe("NatsTransport", required, () => it("needs a nats-server", () => {}));
else transportSuite("NATS", startTransportHarness);
