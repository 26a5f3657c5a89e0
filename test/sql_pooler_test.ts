/** A store behind PgBouncer, which gives out connections by transaction, and over Prisma: before a release. */
import { assertEquals, assertRejects } from "@std/assert";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { catga, event } from "@catga/catga";
import { type SqlDatabase, sqlStore } from "@catga/catga/sql";
import { fetchPackages } from "../tools/npm_packages.ts";
import { type PostgresProcess, startPostgres } from "./support/databases.ts";
import { eventually } from "./support/eventually.ts";
import { QUIET } from "./support/quiet.ts";
import { DRIVERS, openDriver } from "./support/sql_databases.ts";

const Counted = event<{ key: string; id: string }>("Counted", { durable: true, key: ({ key }) => key });

/** Starts PgBouncer (Debian's package) with three connections to a server. */
async function startPgBouncer({ port: target }: PostgresProcess, port: number): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "catga-pgbouncer-"));
  await chmod(folder, 0o755);
  const [ini, users] = [join(folder, "pgbouncer.ini"), join(folder, "users.txt")];
  await writeFile(users, '"tea" ""\n');
  const settings = [
    ...[`listen_addr = 127.0.0.1`, `listen_port = ${port}`, `auth_type = trust`, `auth_file = ${users}`],
    ...[`pool_mode = transaction`, `default_pool_size = 3`, `unix_socket_dir =`],
    `ignore_startup_parameters = extra_float_digits`,
  ];
  const databases = `postgres = host=127.0.0.1 port=${target}`;
  await writeFile(ini, `[databases]\n${databases}\n[pgbouncer]\n${settings.join("\n")}\n`);
  const as = process.getuid?.() === 0 ? ["-u", "postgres"] : [];
  const child = spawn("pgbouncer", ["-q", ...as, ini], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  await eventually("PgBouncer", () => accepts(port));
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

const PGBOUNCER = (process.env.PATH ?? "").split(":").map((folder) => join(folder, "pgbouncer")).find(existsSync);
const missing = PGBOUNCER === undefined ? "there is no pgbouncer here: it is a package of Debian" : false;

describe("a store behind PgBouncer", { skip: missing }, () => {
  it("commits, relays and has effects once, over pg and Bun.sql", { timeout: 300_000 }, async () => {
    await using server = await startPostgres();
    await using _ = await startPgBouncer(server, server.port + 1);
    for (const [n, driver] of DRIVERS.entries()) {
      // also without prepared statements it left a transaction without an end behind PgBouncer 1.18, in one run of four
      // in Deno, while the server had nothing open
      if (driver === "postgres") continue;
      await using opened = await openDriver(driver, { port: server.port + 1, most: 10, prepare: false });
      const { db } = opened;
      const schema = `b_${n}`;
      const run = (text: string, params: string[] = [], tx?: unknown) => db.run(tx, text, params);
      const store = sqlStore(db, { schema, name: schema, poll: 20 });
      await store.migrate();
      for (const table of ["booking", "effect"]) await run(`CREATE TABLE ${schema}.${table} (id text PRIMARY KEY)`);
      const insert = (table: string, id: string, tx: unknown) =>
        run(`INSERT INTO ${schema}.${table} VALUES ($1::text)`, [id], tx);
      const handlers = Counted.on(
        store.handler(async ({ id }: { id: string }, _ctx, tx) => void await insert("effect", id, tx)),
        { name: "effect" },
      );
      await using app = await catga({ sql: [store], handlers, logger: QUIET });
      await Promise.all(Array.from({ length: 10 }, async (_, writer) => {
        for (let i = 0; i < 20; i++) {
          const id = `${writer}-${i}`;
          const sold = store.transaction(async (tx, out) => {
            await insert("booking", id, tx);
            out.publish(Counted, { key: `k${i % 5}`, id });
            if (i % 4 === 0) throw new Error("taken back");
          });
          if (i % 4 === 0) await assertRejects(() => sold, Error, "taken back");
          else await sold;
        }
      }));
      const number = async (table: string) =>
        Number((await run(`SELECT count(*)::text AS n FROM ${schema}.${table}`))[0].n);
      await eventually("all effects", async () => await number("effect") === 150);
      await eventually("an empty outbox", async () => (await store.backlog()).rows === 0);
      assertEquals([driver, await number("booking"), await number("effect")], [driver, 150, 150]);
      await app.drain();
    }
  });
});

describe("a store over Prisma", () => {
  // its generated client is TypeScript that imports packages of a folder of its own, which Bun resolves
  if (!("Bun" in globalThis)) return;
  it("publishes what commits, and nothing of what an error that was caught has aborted", {
    timeout: 600_000,
  }, async () => {
    const place = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "prisma");
    await fetchPackages(place, "prisma@7.10.1", "@prisma/client@7.10.0", "@prisma/adapter-pg@7.10.1");
    const generator = 'generator client {\n provider = "prisma-client"\n output = "./generated"\n}';
    await writeFile(join(place, "schema.prisma"), `${generator}\ndatasource db {\n provider = "postgresql"\n}\n`);
    await writeFile(join(place, "prisma.config.ts"), 'export default { schema: "schema.prisma" };\n');
    // the engine that it would fetch is for migrations; the generator does not use it
    const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath };
    const prisma = join(place, "node_modules", "prisma", "build", "index.js");
    await new Promise<void>((resolve, reject) =>
      execFile(
        "node",
        [prisma, "generate"],
        { cwd: place, env },
        (error, _, stderr) => error ? reject(new Error(stderr)) : resolve(),
      )
    );
    await using server = await startPostgres();
    const { PrismaClient } = await import(pathToFileURL(join(place, "generated", "client.ts")).href);
    const { PrismaPg } = await import(
      pathToFileURL(join(place, "node_modules/@prisma/adapter-pg/dist/index.mjs")).href
    );
    const url = `postgres://tea@127.0.0.1:${server.port}/postgres`;
    const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 6 }) });
    // the database of docs/sql.md
    const db: SqlDatabase<typeof client> = {
      dialect: "postgres",
      run: async (tx, text, params) => await (tx ?? client).$queryRawUnsafe(text, ...params),
      transaction: (fn) => client.$transaction(async (tx: typeof client) => await fn(tx)),
    };
    try {
      const store = sqlStore(db, { poll: 20 });
      await store.migrate();
      await client.$executeRawUnsafe("CREATE TABLE booking (id text PRIMARY KEY)");
      const told: string[] = [];
      const handlers = Counted.on(store.handler(({ id }: { id: string }) => void told.push(id)), { name: "desk" });
      await using _app = await catga({ sql: [store], handlers, logger: QUIET });
      const book = (tx: typeof client, id: string) => tx.$executeRawUnsafe("INSERT INTO booking VALUES ($1)", id);
      await store.transaction(async (tx, out) => {
        await book(tx, "7");
        out.publish(Counted, { key: "a", id: "7" });
      });
      await assertRejects(() =>
        store.transaction(async (tx, out) => {
          out.publish(Counted, { key: "a", id: "8" });
          await book(tx, "8");
          await book(tx, "7").catch(() => {}); // aborts the transaction
        })
      );
      // callers of one id at once, and one that is to be run again
      const effects = await Promise.all(
        Array.from({ length: 4 }, () => store.once("s", "1", (tx) => book(tx, "9").then(() => "x"))),
      );
      assertEquals(effects, ["x", "x", "x", "x"]);
      await store.transaction((_, out) => void out.publish(Counted, { key: "a", id: "10" }));
      await eventually("the events", () => told.length === 2);
      assertEquals(told, ["7", "10"]);
      const rows: { id: string }[] = await client.$queryRawUnsafe("SELECT id FROM booking ORDER BY id");
      assertEquals(rows.map(({ id }) => id), ["7", "9"]);
      await server.kill();
      const away = await store.transaction((_, out) => void out.publish(Counted, { key: "a", id: "11" })).catch(
        (error) => error,
      );
      assertEquals(away.code, "UNAVAILABLE", `${away}`);
      await server.start();
      await eventually(
        "a transaction after it",
        () =>
          store.transaction((_, out) => void out.publish(Counted, { key: "a", id: "12" })).then(
            () => true,
            () => false,
          ),
      );
      await eventually("its event", () => told.includes("12"));
    } finally {
      await client.$disconnect();
    }
  });
});
