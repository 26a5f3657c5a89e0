/** Fault: a short soak of the log; `deno task soak:log` does it for long. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { soakLog } from "../soak/log_storm.ts";
import { BEFORE_RELEASE } from "../support/before_release.ts";

const size = BEFORE_RELEASE ? { events: 12_000, kills: 6 } : { events: 4_000, kills: 3 };

describe("a soak of the log", await requireNatsServer(), () => {
  it("every ok is handled by each subscription, in order by key, through kills and a rolling deploy", {
    timeout: 1_200_000,
  }, async () => {
    const options = { ...size, seed: 7, rate: 800, down: 4_000, settled: 60_000 };
    const { violations, sums, deeds } = await soakLog(options);
    console.log(`${JSON.stringify(sums)} ${JSON.stringify(deeds)}`);
    assertEquals(violations, []);
  });
});
