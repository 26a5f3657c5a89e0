/** Tests of runs while an operator has given the stream of the log a setting that loses messages. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, event, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { withManager } from "../../test/support/log_stream.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

describe("a run, while the log is refused for a wrong setting", await requireNatsServer(), () => {
  it("sleeps, and goes on once the setting is right (it was stuck at once)", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    const Happened = event<void>("Happened", { durable: true });
    const Trip = workflow<void, number>("Trip");
    const begun = Promise.withResolvers<void>();
    const trip = Trip.handle(async (flow) => {
      begun.resolve();
      await flow.sleep("long enough for a schedule", 12_000);
      return 1;
    });
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using app = await catga({
      nats: server.url,
      logger,
      handlers: [trip, Happened.on(() => {}, { name: "sub" })],
    });
    assertEquals((await app.publish(Happened)).ok, true);
    const set = (max_msgs: number) =>
      withManager([server.url], (manager) => manager.streams.update("catga_default_log", { max_msgs }));
    await set(1_000);
    await eventually("the log to be refused", async () => (await app.publish(Happened)).error?.code === "LOG_MISMATCH");
    assertEquals((await app.start(Trip, undefined, { id: "a" })).ok, true);
    await begun.promise;
    assertEquals((await app.result(Trip, "a", { timeout: 1_000 })).error?.code, "NOT_ENDED");
    await set(-1);
    const result = await eventually("the run to end", async () => {
      const { ok, value, error } = await app.result(Trip, "a", { timeout: 5_000 });
      return ok ? { value } : /stuck/.test(error.message) ? { error: error.message } : undefined;
    });
    assertEquals(result, { value: 1 });
  });
});
