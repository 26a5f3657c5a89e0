/** Tests of the log's port on a real nats-server. Failures of servers are tested with the parts of the log. */
import { requireNatsServer } from "../../tools/nats_server.ts";
import { eventLogSuite } from "../ports/event_log_suite.ts";
import { startEventLogHarness } from "./log_harness_suite.ts";

if (!(await requireNatsServer()).skip) eventLogSuite("NATS", startEventLogHarness);
