/**
 * A database of the program's own while everything around it dies: nodes are killed and frozen, PostgreSQL stops as in
 * a power failure, the NATS server is killed, and connections are cut. Both or neither; once in the log; in the order
 * of commits; each effect once; and everything goes on.
 */
import { assertEquals, assertGreater } from "@std/assert";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { catga } from "../../mod.ts";
import { sqlStore } from "../../src/sql/mod.ts";
import { startNatsServer } from "../../tools/nats_server.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { Counted, type SqlNodeOptions, Steps } from "../processes/sql_node.ts";
import { CutProxy } from "../support/cut_proxy.ts";
import { startPostgres } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { QUIET } from "../support/quiet.ts";
import { openDriver } from "../support/sql_databases.ts";

/**
 * How long faults are done, in s: `SQL_FAULTS=300 deno test -A --no-check test/faults/sql_test.ts` for more of them.
 */
const SECONDS = Number(process.env.SQL_FAULTS ?? 20);
const KEYS = 8;
/** Runtime and driver of each node: `SQL_NODES=deno:pg,bun:pg,bun:Bun.sql` for others. */
const NODES = (process.env.SQL_NODES ?? "deno:pg,bun:Bun.sql,deno:pg").split(",").map((node) =>
  node.split(":") as [runtime: "deno" | "bun", driver: SqlNodeOptions["driver"]]
);

interface Ready {
  readonly event: "ready";
}

describe("a database of the program's own", { timeout: 3_600_000 }, () => {
  it("loses and doubles nothing, and keeps the order, whatever dies around it", async () => {
    assertEquals(await attack({ seconds: SECONDS, blows: true }), []);
  });

  it("shows effects twice to this checker where they commit apart from their ids", async () => {
    const wrong = await attack({ seconds: Math.max(10, SECONDS / 2), blows: true, apart: true });
    assertGreater(wrong.filter((each) => each.includes("effects twice")).length, 0, `${wrong}`);
  });

  it("shows events out of order to this checker where they are recorded first, without the lock of the key", async () => {
    const wrong = await attack({ seconds: 10, blows: false, early: true });
    assertGreater(wrong.filter((each) => each.includes("out of order")).length, 0, `${wrong}`);
  });
});

async function attack(
  { seconds, blows, apart = false, early = false }: {
    readonly seconds: number;
    readonly blows: boolean;
    readonly apart?: boolean;
    /** Records as the first statement, without the lock of the key. */
    readonly early?: boolean;
  },
): Promise<string[]> {
  await using postgres = await startPostgres({ synced: true });
  let nats = await startNatsServer();
  const schema = "shop";
  await using own = await openDriver("pg", { port: postgres.port, most: 20 });
  const { db } = own;
  const store = sqlStore(db, { schema, name: schema, order: !early });
  const run = (text: string, params: string[] = [], tx?: unknown) => db.run(tx, text, params);
  await store.migrate();
  await run(`CREATE TABLE ${schema}.counter (key text PRIMARY KEY, v bigint NOT NULL)`);
  await run(`CREATE TABLE ${schema}.truth (id text PRIMARY KEY, key text NOT NULL, v bigint NOT NULL)`);
  await run(`CREATE TABLE ${schema}.ordered (n bigint GENERATED ALWAYS AS IDENTITY, id text NOT NULL)`);
  for (const table of ["effect", "bulk", "step"]) await run(`CREATE TABLE ${schema}.${table} (id text NOT NULL)`);
  for (let key = 0; key < KEYS; key++) await run(`INSERT INTO ${schema}.counter VALUES ($1::text, 0)`, [`k${key}`]);

  let started = 0;
  const nodes: { program: Program<Ready>; proxies: CutProxy[] }[] = [];
  const start = async (i: number) => {
    const proxies = [await CutProxy.start(nats.port), await CutProxy.start(postgres.port)];
    const [runtime, driver] = NODES[i];
    const options: SqlNodeOptions = { id: `n${started++}`, port: proxies[1].port, driver, schema, apart };
    const url = `nats://127.0.0.1:${proxies[0].port}`;
    const program = await startProgram<Ready>(runtime, "test/processes/sql_node.ts", [url, JSON.stringify(options)]);
    await Promise.race([program.line(({ event }) => event === "ready"), program.ended]);
    await Promise.all(nodes[i]?.proxies.map((proxy) => proxy[Symbol.asyncDispose]()) ?? []);
    nodes[i] = { program, proxies };
  };
  try {
    await Promise.all(NODES.map((_, i) => start(i)));
    const tally = { committed: 0, rolledBack: 0, failed: 0, runs: 0 };
    /** Ids of the transactions that resolved, and of those that were said not to have committed. */
    const told = { committed: new Set<string>(), not: new Set<string>() };
    let isOver = false;
    const write = async (writer: number) => {
      for (let i = 0; !isOver; i++) {
        const id = `${writer}-${i}`;
        const key = `k${Math.floor(Math.random() ** 1.5 * KEYS)}`;
        const [isFirst, isBad, isNamed] = [Math.random() < 0.5, Math.random() < 0.1, Math.random() < 0.2];
        const count = (tx: unknown) =>
          run(
            `WITH c AS (UPDATE ${schema}.counter SET v = v + 1 WHERE key = $1::text RETURNING v) ` +
              `INSERT INTO ${schema}.truth SELECT $2::text, $1::text, v FROM c`,
            [key, id],
            tx,
          );
        try {
          if (early) {
            await db.transaction(async (tx) => {
              const out = store.out();
              out.publish(Counted, { key, id });
              await store.write(tx, out);
              if (Math.random() < 0.3) await wait(Math.random() * 15);
              await count(tx);
            });
            continue;
          }
          await store.transaction(async (tx, out) => {
            if (isFirst) await count(tx);
            out.publish(Counted, { key, id }, isNamed ? { id } : {});
            if (i % 10 === 0) out.start(Steps, { n: i }, { id: `run-${id}` });
            if (Math.random() < 0.3) await wait(Math.random() * 15);
            if (!isFirst) await count(tx);
            if (isBad) throw new Error("roll back");
          });
          tally.committed++;
          told.committed.add(id);
          if (i % 10 === 0) tally.runs++;
        } catch (error) {
          if ((error as { code?: string }).code !== "OUTCOME_UNKNOWN") told.not.add(id);
          if ((error as Error).message === "roll back") tally.rolledBack++;
          else {
            tally.failed++;
            await wait(150);
          }
        }
        await wait(Math.random() * 80);
      }
    };
    const writers = Array.from({ length: 8 }, (_, writer) => write(writer));
    const until = Date.now() + seconds * 1_000;
    const done: Record<string, number> = {};
    const kinds = ["kill", "cut database", "kill", "freeze", "cut NATS", "kill NATS", "kill", "stop database"];
    for (let k = 0; Date.now() < until; k++) {
      await wait(1_000);
      if (!blows) continue;
      const kind = kinds[k % kinds.length];
      const i = k % NODES.length;
      done[kind] = (done[kind] ?? 0) + 1;
      if (kind === "kill") {
        await nodes[i].program.stop();
        await start(i);
      } else if (kind === "freeze") {
        nodes[i].program.kill("SIGSTOP");
        await wait(k % 2 === 0 ? 1_500 : 4_000);
        nodes[i].program.kill("SIGCONT");
      } else if (kind === "cut database") { for (const { proxies } of nodes) proxies[1].cut(); }
      else if (kind === "cut NATS") { for (const { proxies } of nodes) proxies[0].cut(); }
      else if (kind === "kill NATS") {
        const { port, storeDir } = nats;
        await nats.kill("SIGKILL");
        nats = await startNatsServer({ port, storeDir });
      } else {
        await postgres.kill();
        await postgres.start();
      }
    }
    isOver = true;
    await Promise.all(writers);
    for (const [i, { program }] of nodes.entries()) if (program.gone) await start(i);

    const number = async (text: string) => Number((await run(text))[0].n);
    const total = await number(`SELECT count(*)::text AS n FROM ${schema}.truth`);
    const distinct = (table: string) => number(`SELECT count(DISTINCT id)::text AS n FROM ${schema}.${table}`);
    const steps = async () => await distinct("step");
    const began = Date.now();
    await eventually(
      "all effects",
      async () =>
        (await store.backlog()).rows === 0 && await distinct("effect") === total && await distinct("bulk") === total &&
        await distinct("ordered") === total,
      600_000,
      300,
    );
    const wrong: string[] = [];
    await using app = await catga({ nats: nats.url, id: "reader", service: "reader", logger: QUIET });
    const runs = (await Array.fromAsync(app.runs({ workflow: Steps.name }))).length;
    await eventually("all steps", async () => await steps() === 2 * runs, 600_000, 300);
    console.log(
      `${total} events, ${runs} runs, all handled ${Date.now() - began} ms after the last; ` +
        `${JSON.stringify(tally)} ${JSON.stringify(done)}`,
    );
    for (const table of ["effect", "bulk", "step", "ordered"]) {
      const twice = await number(`SELECT (count(*) - count(DISTINCT id))::text AS n FROM ${schema}.${table}`);
      if (twice > 0) wrong.push(`${twice} ${table === "effect" ? "effects" : table} twice`);
    }
    if (runs < tally.runs) wrong.push(`${tally.runs - runs} runs were committed and not started`);

    const truth = new Map(
      (await run(`SELECT id, key, v::text AS v FROM ${schema}.truth`)).map(({ id, key, v }) => [
        id as string,
        { key: key as string, v: Number(v) },
      ]),
    );
    const missing = [...told.committed].filter((id) => !truth.has(id));
    if (missing.length > 0) wrong.push(`said committed, and not there: ${missing}`);
    const there = [...told.not].filter((id) => truth.has(id));
    if (there.length > 0) wrong.push(`said not committed, and there: ${there}`);
    const log: string[] = [];
    for await (const { payload } of app.follow(Counted, { from: "start" })) {
      log.push(payload.id);
      if (log.length >= total && new Set(log).size >= total) break;
    }
    if (log.length > new Set(log).size) wrong.push(`${log.length - new Set(log).size} events twice in the log`);
    const strangers = log.filter((id) => !truth.has(id));
    if (strangers.length > 0) wrong.push(`${strangers.length} events in the log without a commit`);
    const last = new Map<string, number>();
    for (const id of log) {
      const { key, v } = truth.get(id) ?? { key: "", v: 0 };
      if (v <= (last.get(key) ?? 0)) wrong.push(`${id} is out of order`);
      last.set(key, v);
    }
    const ordered = (await run(`SELECT id FROM ${schema}.ordered ORDER BY n`)).map(({ id }) => id);
    if (ordered.join() !== log.join()) wrong.push("the table that follows the log differs from it");
    return wrong;
  } finally {
    await Promise.all(nodes.map(({ program }) => program.stop()));
    await Promise.all(nodes.flatMap(({ proxies }) => proxies.map((proxy) => proxy[Symbol.asyncDispose]())));
    await nats.stop();
  }
}
