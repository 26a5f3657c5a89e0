import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { catga, unwrap } from "../../mod.ts";
import { askAgain } from "../../test/support/ask_again.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { requireNatsServer, startNatsCluster } from "../../tools/nats_server.ts";
import { openTransport } from "../nats/harness_suite.ts";
import { AddItem, handlers } from "./entities_suite.ts";

const ENTITIES = 20;

describe("commands of entities on three servers, whose stream's leader is killed", await requireNatsServer(), () => {
  it(
    "wait for the election within their timeout (they were UNAVAILABLE 5 s into it)",
    { timeout: 300_000 },
    async () => {
      await using cluster = await startNatsCluster(3);
      await using app = await catga({ nats: [...cluster.urls], id: "a", replicas: 3, handlers, logger: QUIET });
      const send = (cartId: string) => app.send(AddItem, { cartId, sku: "tea" }, { timeout: 120_000 });
      const carts = Array.from({ length: ENTITIES }, (_, n) => `c${n}`);
      for (const cart of carts) unwrap(await send(cart));
      const transport = await openTransport(cluster.urls[0]);
      const info = await askAgain(transport.connection, "$JS.API.STREAM.INFO.catga_default_entities");
      await transport.close();
      const { cluster: { leader } } = info.json<{ cluster: { leader: string } }>();
      const killed = Number(leader.slice(1));
      assert([0, 1, 2].includes(killed), leader);
      await cluster.servers[killed].kill("SIGKILL");
      // the entity of a command is read first if it is not in memory; commands to entities in memory are appended at
      // once
      const all = carts.flatMap((cart) => [send(cart), send(cart)]);
      assertEquals((await Promise.all(all)).flatMap(({ error }) => error?.code ?? []), []);
    },
  );
});
