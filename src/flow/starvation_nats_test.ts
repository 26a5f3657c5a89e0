/** Tests that a run can store its own entries, however many signals others send to it. */
import { describe, it } from "node:test";
import { assert } from "@std/assert";
import { catga, unwrap, workflow } from "@catga/catga";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const Flooded = workflow<void, string>("Flooded");
const Item = Flooded.signal<number>("Item");
const STEPS = 20;
/** A busy machine takes many times as long. */
const slow = { timeout: 300_000 };

describe("a run whose driver is 5 ms away from its server", await requireNatsServer(), () => {
  it("ends while it is told as much as a process can tell it (nothing was stored in 40 s)", slow, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    const handler = Flooded.handle(async (flow) => {
      for (let n = 0; n < STEPS; n++) await flow.step(`step ${n}`, () => {});
      return "ended";
    });
    await using _driver = await catga({ nats: proxy.url, handlers: handler, logger: QUIET });
    await using client = await catga({ nats: server.url, logger: QUIET });
    proxy.delay(5);
    const run = unwrap(await client.start(Flooded));
    let isOver = false;
    let told = 0;
    const tell = async () => {
      while (!isOver) {
        if ((await client.tell(Item, run, told)).ok) told++;
        else isOver = true;
      }
    };
    const telling = Promise.all([tell(), tell(), tell()]);
    const result = await client.result(Flooded, run, { timeout: 240_000 });
    isOver = true;
    await telling;
    assert(result.ok, `${told} signals: ${result.error?.message}`);
  });
});
