/**
 * Durable events written into PostgreSQL, in one process that handles them, with one statement for up to 500 rows. The
 * variants: `batches`, by `onBatch` of Catga; `consume`, by `consume()` of nats.js; `rows`, the same rows from the
 * memory of the process that writes them, without a log. Each has two statements under way at most.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { AckPolicy, jetstream, jetstreamManager, type JsMsg } from "@nats-io/jetstream";
import { catga, event, unwrap } from "../../mod.ts";
import { open } from "./connection.ts";
import { type Handle, runLogged, type Stored } from "./logged.ts";
import type { RemoteOptions } from "./remote.ts";

/** A row to write, and its place in what is written. */
interface Sale {
  readonly id: string;
  readonly payload: Stored;
}

/** So many rows of a statement at most, as `onBatch` by default. */
const MOST = 500;
/** So many statements under way at once. */
const STATEMENTS = 2;

/** 900 keys. */
const Sold = event<Stored>("Sold", { durable: true, key: ({ qty }) => String(qty) });

await runLogged({
  async node(options, handle) {
    const { url, group, transport, variant } = options;
    const write = await writer(options);
    if (variant === "batches") {
      const handlers = Sold.onBatch(async (batch) => {
        // a gate that is closed is waited for, before the clock runs
        for (const { payload } of batch) await handle(payload);
        await write(batch);
      }, { name: "rows" });
      await catga({ nats: url, namespace: group, transport, service: "sink", handlers });
    } else if (variant === "consume") await consume(options, handle, write);
    else await remember(options, handle, write);
  },
  async client(options) {
    const { url, group, transport, variant } = options;
    if (variant === "batches") {
      const app = await catga({ nats: url, namespace: group, transport, service: "client" });
      const publish = async (stored: Stored) => unwrap(await app.publish(Sold, stored));
      return { publish, store: publish };
    }
    const nc = await open(options);
    const publish = (stored: Stored) => nc.request(`${group}.sold`, JSON.stringify(stored), { timeout: 60_000 });
    return { publish, store: publish };
  },
});

/** Makes a table, and returns a function that writes rows into it with one statement. */
async function writer({ group, database }: RemoteOptions): Promise<(sales: readonly Sale[]) => Promise<void>> {
  const { Pool } = createRequire(join(database!.client, "package.json"))("pg");
  const pool = new Pool({ host: database!.socket, user: "tea", database: "postgres", max: STATEMENTS });
  const table = `sale_${group}`;
  await pool.query(`CREATE TABLE ${table} (message text PRIMARY KEY, sku text NOT NULL, qty int NOT NULL)`);
  const text = `INSERT INTO ${table} SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) ON CONFLICT DO NOTHING`;
  return async (sales) => {
    const values = [
      sales.map(({ id }) => id),
      sales.map(({ payload: { sku } }) => sku),
      sales.map(({ payload: { qty } }) => qty),
    ];
    await pool.query({ name: "insert", text, values });
  };
}

async function consume(
  options: RemoteOptions,
  handle: Handle,
  write: (sales: readonly Sale[]) => Promise<void>,
): Promise<void> {
  const { group } = options;
  const nc = await open(options);
  const manager = await jetstreamManager(nc);
  await manager.streams.add({ name: group, subjects: [`${group}.>`] });
  const settings = { durable_name: "rows", ack_policy: AckPolicy.Explicit, max_ack_pending: STATEMENTS * MOST };
  await manager.consumers.add(group, settings);
  const consumer = await jetstream(nc).consumers.get(group, "rows");
  const waiting: JsMsg[] = [];
  const next = sink(async () => {
    const messages = waiting.splice(0, MOST);
    const sales = messages.map((message) => ({ id: String(message.seq), payload: message.json<Stored>() }));
    for (const { payload } of sales) await handle(payload);
    await write(sales);
    for (const message of messages) message.ack();
  }, () => waiting.length);
  await consumer.consume({
    max_messages: STATEMENTS * MOST,
    callback(message) {
      waiting.push(message);
      next();
    },
  });
}

/** Keeps what comes in memory, and writes it from there. */
async function remember(
  options: RemoteOptions,
  handle: Handle,
  write: (sales: readonly Sale[]) => Promise<void>,
): Promise<void> {
  const nc = await open(options);
  const waiting: Sale[] = [];
  let count = 0;
  const next = sink(async () => {
    const sales = waiting.splice(0, MOST);
    for (const { payload } of sales) await handle(payload);
    await write(sales);
  }, () => waiting.length);
  nc.subscribe(`${options.group}.sold`, {
    callback(_, message) {
      waiting.push({ id: `${process.pid}.${count++}`, payload: message.json<Stored>() });
      message.respond();
      next();
    },
  });
  await nc.flush();
}

/** Returns a function that writes what waits, with {@link STATEMENTS} under way at most. */
function sink(writeSome: () => Promise<void>, waiting: () => number): () => void {
  let underWay = 0;
  let later: ReturnType<typeof setTimeout> | undefined;
  const start = (least: number) => {
    while (underWay < STATEMENTS && waiting() >= least) {
      underWay++;
      writeSome().finally(() => {
        underWay--;
        next();
      });
    }
  };
  const next = () => {
    start(MOST);
    if (waiting() === 0) return;
    // more rows are waited for, as by `onBatch`
    later ??= setTimeout(() => {
      later = undefined;
      start(1);
    }, 20);
  };
  return next;
}
