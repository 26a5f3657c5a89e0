/**
 * A node that serves a database of the program's own, for fault tests: it relays the outbox, and has effects of events
 * in a handler, in batches and in a table that follows the log.
 *
 *   … test/processes/sql_node.ts <nats url> '<options as JSON>'
 *
 * @module
 */
import process from "node:process";
import { catga, type Context, event, workflow } from "@catga/catga";
import { sqlStore } from "@catga/catga/sql";
import { type DRIVERS, openDriver } from "../support/sql_databases.ts";

/** An event of these tests: `v`, how many the key has had in the order of commits. */
export const Counted = event<{ key: string; id: string }>("Counted", { durable: true, key: ({ key }) => key });
/** A run with two steps, each with a row. */
export const Steps = workflow<{ n: number }, number[]>("Steps");

/** The options of such a node. */
export interface SqlNodeOptions {
  readonly id: string;
  /** Port of the database, as of a proxy. */
  readonly port: number;
  readonly driver: (typeof DRIVERS)[number];
  readonly schema: string;
  /** True if effects are recorded apart from their ids, which a checker must notice. */
  readonly apart?: boolean;
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [url, text] = process.argv.slice(2);
  const { id, port, driver, schema, apart = false } = JSON.parse(text) as SqlNodeOptions;
  const { db } = await openDriver(driver, { port, most: 12 });
  const store = sqlStore(db, { schema, name: schema, poll: 50, timeout: 10_000 });
  const run = (text: string, params: string[], tx?: unknown) => db.run(tx, text, params);
  const retry = { attempts: 1_000, delay: [20, 200] } as const;
  const insert = (table: string, id: string, tx?: unknown) =>
    run(`INSERT INTO ${schema}.${table} (id) VALUES ($1::text)`, [id], tx);
  // a kill hits between COMMIT and the acknowledgement more often if that comes late
  const late = () => new Promise<void>((resolve) => setTimeout(resolve, Math.random() < 0.3 ? Math.random() * 80 : 0));
  const once = store.handler(async ({ id }: { id: string }, _ctx, tx) => {
    await insert("effect", id, tx);
  });
  const effect = Counted.on(async (payload: { key: string; id: string }, ctx: Context) => {
    if (apart) await insert("effect", payload.id);
    else await once(payload, ctx);
    await late();
  }, { name: "effect", retry, timeout: 5_000 });
  const bulkOnce = store.batch<{ key: string; id: string }>(async (fresh, _ctx, tx) => {
    const ids = JSON.stringify(fresh.map(({ payload }) => payload.id));
    await run(`INSERT INTO ${schema}.bulk (id) SELECT jsonb_array_elements_text($1::text::jsonb)`, [ids], tx);
  });
  const bulk = Counted.onBatch(async (batch, ctx) => {
    await bulkOnce(batch, ctx);
    await late();
  }, { name: "bulk", retry, timeout: 5_000 });
  store.project("ordered", Counted, async (events, tx) => {
    const ids = JSON.stringify(events.map(({ payload }) => payload.id));
    await run(
      `INSERT INTO ${schema}.ordered (id) SELECT value FROM jsonb_array_elements_text($1::text::jsonb) ` +
        `WITH ORDINALITY AS m (value, i) ORDER BY i`,
      [ids],
      tx,
    );
  });
  const steps = Steps.handle(async (flow) => {
    const results: number[] = [];
    for (const step of ["a", "b"]) {
      results.push(
        await flow.transaction(store, step, async (tx) => {
          await insert("step", `${flow.id}-${step}`, tx);
          return results.length;
        }, { retry: { delay: [20, 200] } }),
      );
      await late();
    }
    return results;
  });
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const app = await catga({
    ...{ nats: url, id, service: "svc", sql: [store], handlers: [effect, bulk, steps], logger: quiet },
  });
  console.log(JSON.stringify({ event: "ready", id: app.health().node }));
}
