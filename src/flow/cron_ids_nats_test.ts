import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, unwrap, workflow } from "../../mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const Nightly = workflow("Nightly");

describe("the id of a cron of a workflow, over NATS", await requireNatsServer(), () => {
  it("has up to 114 characters, also once the node knows the server's time", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET, handlers: Nightly.handle(() => {}) });
    // the node has the server's time, with fractions of a ms, when it has stored a schedule
    unwrap(await app.start(Nightly, undefined, { id: "later", at: new Date(Date.now() + 3_600_000) }));
    for (const length of [110, 111, 112, 113, 114, 115]) {
      const started = await app.start(Nightly, undefined, { id: "c".repeat(length), cron: "0 0 5 * * *" });
      assertEquals([length, started.ok || started.error.code], [length, length <= 114 || "INVALID_MESSAGE"]);
    }
  });
});
