import { requireNatsServer } from "../../../tools/nats_server.ts";
import { memoryHarness, natsHarness } from "../harness_suite.ts";
import { idempotencySuite } from "./idempotency_suite.ts";

idempotencySuite("memory", memoryHarness);
idempotencySuite("NATS", natsHarness, (await requireNatsServer()).skip);
