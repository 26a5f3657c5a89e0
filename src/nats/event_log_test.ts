/** The log's port on a real server; failures of servers are in the tests of its parts. */
import { requireNatsServer } from "../../tools/nats_server.ts";
import { eventLogSuite } from "../ports/event_log_suite.ts";
import { startEventLogHarness } from "./log_harness_suite.ts";

if (!(await requireNatsServer()).skip) eventLogSuite("NATS", startEventLogHarness);
