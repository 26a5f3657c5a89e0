/** Tests that runs that have ended leave no schedules on the NATS server. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, unwrap, workflow } from "@catga/catga";
import { cliHere } from "../../test/support/cli_here.ts";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { infoOf } from "./run_suite.ts";

const Order = workflow<void, string>("Order", { timeout: 7 * 86_400_000 });
const Approved = Order.signal<string>("Approved");

describe("the schedules of a run", await requireNatsServer(), () => {
  it(
    "are gone when it has ended (each stood until its time: three days of a wait, a week of a workflow)",
    { timeout: 300_000 },
    async () => {
      await using server = await startNatsServer();
      const scheduled = async () => {
        const { code, out } = await cliHere(["schedules", "-s", server.url, "--json"]);
        assertEquals(code, 0);
        return out.split("\n").filter((line) => line !== "").length;
      };
      const handler = Order.handle(async (flow) => await flow.wait(Approved, { timeout: 3 * 86_400_000 }) ?? "nobody");
      await using app = await catga({ nats: server.url, handlers: handler });
      const run = unwrap(await app.start(Order));
      await eventually(
        "the run to wait",
        async () => (await infoOf(app, run)).status === "waiting" && await scheduled() === 2,
      );
      unwrap(await app.tell(Approved, run, "ada"));
      assertEquals(unwrap(await app.result(Order, run, { timeout: 60_000 })), "ada");
      await eventually("its schedules to go", async () => await scheduled() === 0);
    },
  );
});
