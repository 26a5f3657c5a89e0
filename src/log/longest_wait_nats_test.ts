/** Test of `delay` with a longest wait over a real server, with two processes that replace each other's schedule. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, command, unwrap } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const Sync = command<{ n: number }>("Sync", { durable: true });

describe("a delay with a longest wait, over NATS", await requireNatsServer(), () => {
  it("is handled while more and more come, and the newest at the end", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    const handled: number[] = [];
    const handlers = Sync.handle(({ n }) => void handled.push(n));
    await using app = await catga({ nats: server.url, logger: QUIET, handlers });
    await using other = await catga({ nats: server.url, logger: QUIET });
    let [n, newest] = [0, 0];
    const next = async (by: Catga) => {
      const own = n++;
      const options = { id: "ann", delay: [1_000, 1_000] } as const;
      // while the one before it fires it may be unknown which of them counts
      const result = await by.enqueue(Sync, { n: own }, { ...options, timeout: 30_000 });
      if (result.ok) newest = own;
      return result;
    };
    while (handled.length < 3) await next(n % 2 === 0 ? app : other);
    await eventually("the last one", async () => {
      if (handled.at(-1) === newest) return true;
      if (handled.at(-1)! > newest) unwrap(await next(app));
      return false;
    });
    // each later than the one before: none came a second time
    assert(handled.every((each, i) => i === 0 || each > handled[i - 1]), handled.join());
    assertEquals(new Set(handled).size, handled.length);
  });
});
