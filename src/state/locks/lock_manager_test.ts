import { requireNatsServer } from "../../../tools/nats_server.ts";
import { memoryLockHarness, natsLockHarness } from "./lock_harness_suite.ts";
import { lockSuite } from "./lock_suite.ts";

lockSuite("memory", () => Promise.resolve(memoryLockHarness()));
if (!(await requireNatsServer()).skip) lockSuite("NATS", natsLockHarness);
