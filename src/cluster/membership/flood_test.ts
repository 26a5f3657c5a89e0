/**
 * Tests of 20,000 records of nodes that do not exist, written by a user with a node's permissions, on a real server.
 */
import { connect } from "@nats-io/transport-node";
import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { catga, type CatgaOptions } from "../../catga.ts";
import { query } from "../../contract/declaration/definition.ts";
import type { CatgaError } from "../../error.ts";
import type { Catga } from "../../contract/nodes/running_node.ts";
import { eventually } from "../../../test/support/eventually.ts";

const Who = query<void, string>("Who");
const FORGED = 20_000;

/**
 * Starts an app. Repeats the attempt while the store is too busy with the flood to answer, or still has the record that
 * the attempt before has left.
 */
async function patiently<T>(start: () => Promise<T>): Promise<T> {
  const began = performance.now();
  for (;;) {
    try {
      return await start();
    } catch (error) {
      const passes = ["UNAVAILABLE", "ID_TAKEN"].includes((error as CatgaError).code);
      if (!passes || performance.now() - began > 300_000) throw error;
    }
  }
}

describe("20,000 forged records on NATS", await requireNatsServer(), () => {
  it(
    "no view holds one, queries are answered meanwhile, and new nodes know the others",
    { timeout: 600_000 },
    async () => {
      const began = performance.now();
      await using server = await startNatsServer();
      const warned: string[] = [];
      const logger = { debug() {}, info() {}, warn: (line: string) => void warned.push(line), error() {} };
      const start = (id: string, more: CatgaOptions = {}) =>
        catga({
          nats: { servers: server.url, timeout: 60_000 },
          id,
          handlers: Who.handle((_, ctx) => ctx.node),
          logger,
          ...more,
        });
      await using a = await start("a");
      await using b = await start("b");
      const largest = { view: 0 };
      const seen = (app: typeof a) => largest.view = Math.max(largest.view, app.nodes().length);
      const mallory = await connect({ servers: server.url });
      const written = async () => {
        const info = await mallory.request("$JS.API.STREAM.INFO.KV_catga_default_nodes", "", { timeout: 60_000 });
        return info.json<{ state: { last_seq: number } }>().state.last_seq;
      };
      const before = await written();
      for (let n = 0; n < FORGED; n++) {
        const id = `x${n}`;
        const record = { ...a.self, id, endpoint: `${id}.forged`, handles: ["Who", `C${n}`], kinds: "qc" };
        mallory.publish(`$KV.catga_default_nodes.${id}`, JSON.stringify(record));
        if (n % 1_000 !== 0) continue;
        await mallory.flush();
        const answers = await a.sendAll(Who, Array.from({ length: 10 }, () => undefined), { timeout: 30_000 });
        for (const { value, error } of answers) {
          assertEquals([value === "a" || value === "b", error], [true, undefined]);
        }
        seen(a);
        seen(b);
      }
      await eventually("the store to have them all", async () => await written() - before >= FORGED, 300_000);
      const joined: Catga[] = [];
      for (const id of ["c", "d", "e"]) joined.push(await patiently(() => start(id)));
      const all = ["a", "b", "c", "d", "e"];
      for (const app of [a, b, ...joined]) {
        const view = () => app.nodes().map(({ id }) => id).join() === all.join();
        await eventually(`${app.self.id} to see all`, view);
        const { value } = await app.send(Who, undefined, { node: app === a ? "b" : "a", timeout: 30_000 });
        assertEquals(value, app === a ? "b" : "a");
        seen(app);
      }
      assertEquals(largest.view, all.length);
      const lines = warned.filter((line) => line.startsWith("catga a: passed over "));
      assertGreater(lines.length, 0);
      // the warning comes at most once a minute
      assertLessOrEqual(lines.length, 1 + Math.floor((performance.now() - began) / 60_000), warned.join("\n"));
      await Promise.all(joined.map((app) => app.drain()));
      await mallory.close();
    },
  );
});
