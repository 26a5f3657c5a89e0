/**
 * Durable events of Catga written into SQLite, in one process that handles them: with the variant `batches` by
 * `onBatch`, a transaction for each batch; else a transaction for each event.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { catga, event, unwrap } from "../../mod.ts";
import { runLogged, type Stored } from "./logged.ts";

/** 900 keys. */
const Sold = event<Stored>("Sold", { durable: true, key: ({ qty }) => String(qty) });

await runLogged({
  async node({ url, group, transport, variant }, handle) {
    const db = new DatabaseSync(join(mkdtempSync(join(tmpdir(), "catga-bench-")), "sales.db"));
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    db.exec("CREATE TABLE sale (message TEXT PRIMARY KEY, sku TEXT NOT NULL, qty INTEGER NOT NULL) STRICT");
    const insert = db.prepare("INSERT INTO sale VALUES (?, ?, ?) ON CONFLICT (message) DO NOTHING");
    const write = (sales: readonly { readonly id: string; readonly payload: Stored }[]) => {
      db.exec("BEGIN IMMEDIATE");
      for (const { id, payload: { sku, qty } } of sales) insert.run(id, sku, qty);
      db.exec("COMMIT");
    };
    const options = { name: "rows" };
    const handlers = variant === "batches"
      ? Sold.onBatch(async (batch) => {
        // a gate that is closed is waited for, before the clock runs
        for (const { payload } of batch) await handle(payload);
        write(batch);
      }, options)
      : Sold.on(async (payload, { id }) => {
        await handle(payload);
        write([{ id, payload }]);
      }, options);
    await catga({ nats: url, namespace: group, transport, service: "sink", handlers });
  },
  async client({ url, group, transport }) {
    const app = await catga({ nats: url, namespace: group, transport, service: "client" });
    const publish = async (stored: Stored) => unwrap(await app.publish(Sold, stored));
    return { publish, store: publish };
  },
});
