/** The databases of docs/sql.md that are written over an ORM: kysely and drizzle, over pg and a real PostgreSQL. */
import { assertEquals, assertRejects } from "@std/assert";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { catga, event } from "@catga/catga";
import { type SqlDatabase, sqlStore } from "@catga/catga/sql";
import { fetchPackages } from "../tools/npm_packages.ts";
import { type PostgresProcess, startPostgres } from "./support/databases.ts";
import { eventually } from "./support/eventually.ts";
import { QUIET } from "./support/quiet.ts";

const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });

// the types of the ORMs are not known here: they are fetched when the test runs
// deno-lint-ignore no-explicit-any
type Loose = any;

interface Orm {
  readonly db: SqlDatabase<unknown>;
  close(): Promise<unknown>;
}

const PACKAGES = ["kysely@0.29.9", "drizzle-orm@0.45.4", "pg@8.23.1"];

/** Fetches the ORMs, once. Resolves with the folder from which they can be required. */
async function folder(): Promise<string> {
  const place = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "orms");
  await fetchPackages(place, ...PACKAGES);
  return place;
}

async function load(name: string): Promise<Loose> {
  const require = createRequire(join(await folder(), "from.cjs"));
  const module = await import(pathToFileURL(require.resolve(name)).href);
  return module.default === undefined ? module : { ...module.default, ...module };
}

async function pool(port: number): Promise<{ end(): Promise<unknown> }> {
  const { Pool } = createRequire(join(await folder(), "from.cjs"))("pg");
  const made = new Pool({ connectionString: `postgres://tea@127.0.0.1:${port}/postgres`, max: 5 });
  made.on("error", () => {}); // an idle connection was lost
  return made;
}

const ORMS: Readonly<Record<string, (port: number) => Promise<Orm>>> = {
  async kysely(port) {
    const { Kysely, PostgresDialect, CompiledQuery } = await load("kysely");
    const kysely = new Kysely({ dialect: new PostgresDialect({ pool: await pool(port) }) });
    const db: SqlDatabase<Loose> = {
      dialect: "postgres",
      run: async (tx, text, params) =>
        (await (tx ?? kysely).executeQuery(CompiledQuery.raw(text, [...params]))).rows as never,
      transaction: (fn) => kysely.transaction().execute(async (tx: unknown) => await fn(tx)),
    };
    return { db, close: () => kysely.destroy() };
  },
  async drizzle(port) {
    const [{ sql }, { drizzle: make }] = await Promise.all([
      load("drizzle-orm"),
      load("drizzle-orm/node-postgres"),
    ]);
    const client = await pool(port);
    const drizzle = make(client);
    const template = (text: string, params: readonly (string | null)[]) =>
      sql.join(
        text.split(/\$(\d+)/).map((part, i) => i % 2 === 0 ? sql.raw(part) : sql`${params[Number(part) - 1]}`),
      );
    const db: SqlDatabase<Loose> = {
      dialect: "postgres",
      run: async (tx, text, params) => (await (tx ?? drizzle).execute(template(text, params))).rows,
      transaction: (fn) => drizzle.transaction(async (tx: unknown) => await fn(tx)),
    };
    return { db, close: () => client.end() };
  },
};

describe("a store over an ORM", { timeout: 300_000 }, () => {
  let server: PostgresProcess;
  before(async () => void (server = await startPostgres()));
  after(async () => await server[Symbol.asyncDispose]());

  for (const [name, open] of Object.entries(ORMS)) {
    it(`publishes what commits by ${name}, and nothing else, also after an error that was caught`, async () => {
      const { db, close } = await open(server.port);
      try {
        const store = sqlStore(db, { schema: name, name, poll: 20 });
        await store.migrate();
        const run = (text: string, params: string[] = [], tx?: unknown) => db.run(tx, text, params);
        await run(`CREATE TABLE ${name}.booking (room text PRIMARY KEY)`);
        const book = (room: string, tx: unknown) => run(`INSERT INTO ${name}.booking VALUES ($1::text)`, [room], tx);
        const told: string[] = [];
        const handlers = Booked.on(store.handler(({ room }) => void told.push(room)), { name: "desk" });
        await using _ = await catga({ sql: [store], handlers, logger: QUIET });
        await store.transaction(async (tx, out) => {
          await book("7", tx);
          out.publish(Booked, { room: "7" });
        });
        await assertRejects(
          () =>
            store.transaction(async (tx, out) => {
              await book("8", tx);
              out.publish(Booked, { room: "8" });
              throw new Error("taken back");
            }),
          Error,
          "taken back",
        );
        await assertRejects(() =>
          store.transaction(async (tx, out) => {
            out.publish(Booked, { room: "9" });
            await book("9", tx);
            await Promise.resolve(book("7", tx)).catch(() => {}); // aborts the transaction
          })
        );
        await store.transaction(async (tx, out) => {
          await book("10", tx);
          out.publish(Booked, { room: "10" });
        });
        await eventually("the events", () => told.length === 2);
        await eventually("the relay", async () => (await store.backlog()).rows === 0);
        assertEquals(told.toSorted(), ["10", "7"]);
        const rows = await run(`SELECT room FROM ${name}.booking ORDER BY room`);
        assertEquals(rows.map(({ room }) => room), ["10", "7"]);
        // an effect once, for callers of one id at once
        await run(`CREATE TABLE ${name}.seen (room text)`);
        const see = (tx: unknown) => Promise.resolve(run(`INSERT INTO ${name}.seen VALUES ('11')`, [], tx));
        const effects = await Promise.all(
          Array.from({ length: 4 }, () => store.once("s", "1", (tx) => see(tx).then(() => "x"))),
        );
        assertEquals([effects, (await run(`SELECT room FROM ${name}.seen`)).length], [["x", "x", "x", "x"], 1]);
      } finally {
        await close();
      }
    });
  }
});
