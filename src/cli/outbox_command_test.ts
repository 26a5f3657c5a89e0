/** `catga outbox`: what waits in the outbox of a program's database and what was set aside, without an app. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, it } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { event, workflow } from "../../mod.ts";
import { cliApart, cliHere } from "../../test/support/cli_here.ts";
import type { SqlStore } from "../sql/mod.ts";

const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });
const Stay = workflow<{ room: string }, string>("Stay");
const Paid = Stay.signal<{ by: string }>("Paid");

const SQL = new URL("../sql/mod.ts", import.meta.url).href;

/** A module of a program that exports its stores, `a` and others. */
function storeFile(path: string, names: readonly string[]): string {
  const isBun = "Bun" in globalThis;
  const opened = isBun
    ? `import { Database } from "bun:sqlite";\nexport const db = new Database(${JSON.stringify(path)});`
    : `import { DatabaseSync } from "node:sqlite";\nexport const db = new DatabaseSync(${JSON.stringify(path)});`;
  const adapter = isBun ? "bunSqlite" : "nodeSqlite";
  const stores = names.map((name) =>
    `export const ${name} = sqlStore(${adapter}(db), { name: "${name}", schema: "${name}" });`
  );
  return [`import { ${adapter}, sqlStore } from ${JSON.stringify(SQL)};`, opened, ...stores].join("\n");
}

describe("catga outbox", { timeout: 120_000 }, () => {
  let folder: string;
  let file: string;
  let both: string;
  let a: SqlStore<{ exec(sql: string): unknown }>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "catga-outbox-"));
    file = join(folder, "store.mjs");
    both = join(folder, "both.mjs");
    await writeFile(file, storeFile(join(folder, "shop.sqlite"), ["a"]));
    await writeFile(both, storeFile(join(folder, "two.sqlite"), ["a", "b"]));
    for (const each of [file, both]) {
      const module = await import(pathToFileURL(each).href);
      for (const store of [module.a, module.b]) await store?.migrate();
    }
    ({ a } = await import(pathToFileURL(file).href));
  });
  after(async () => {
    for (const each of [file, both]) (await import(pathToFileURL(each).href)).db.close();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (...args: string[]) => cliHere(["outbox", file, ...args]);
  const rows = async (...args: string[]) =>
    (await run(...args, "--json")).out.split("\n").filter(Boolean).map((line) => JSON.parse(line));

  /** Has an outbox with a key of two rows, one without a key, a run, and three rows that were set aside. */
  const fill = async () => {
    const { db } = await import(pathToFileURL(file).href);
    db.exec("DELETE FROM a_outbox");
    await a.transaction((_, out) => {
      for (const room of ["7", "8", "7"]) out.publish(Booked, { room });
      out.start(Stay, { room: "7" }, { id: "r-1" });
      out.tell(Paid, "r-1", { by: "ada" });
      for (const n of [1, 2, 3]) out.publish(Booked, { room: "9" }, { id: `x-${n}` });
    });
    db.exec("UPDATE a_outbox SET refused = 'ID_REUSED: the id ' || id || ' has another payload' WHERE id LIKE 'x-%'");
    db.exec("UPDATE a_outbox SET refused = 'NO_RUN: ' || id WHERE id = 'x-3'");
  };

  it("lists what waits by key and run, and each row that was set aside with its cause", async () => {
    await fill();
    const all = await rows();
    const waits = all.filter(({ state }) => state === "waits");
    assertEquals(
      waits.map(({ store, kind, contract, key, rows }) => [store, kind, contract, key, rows]),
      [["a", "event", "Booked", "7", 2], ["a", "event", "Booked", "8", 1], ["a", "run", "Stay", "r-1", 2]],
    );
    assert(waits.every(({ oldest }) => oldest >= 0), JSON.stringify(waits));
    assertEquals(
      all.filter(({ state }) => state === "refused").map(({ id, why }) => [id, why]),
      [
        ["x-1", "ID_REUSED: the id x-1 has another payload"],
        ["x-2", "ID_REUSED: the id x-2 has another payload"],
        ["x-3", "NO_RUN: x-3"],
      ],
    );
    const { code, out } = await run("--contract", "Booked", "--cause", "NO_RUN");
    assertEquals(code, 0);
    assertEquals(out.trimEnd().split("\n").length, 2, out);
    assertStringIncludes(out, "NO_RUN: x-3");
    assertEquals((await rows("list", "--limit", "1")).filter(({ state }) => state === "waits").length, 1);
  });

  it("finds a contract behind more lanes of others than it lists, and does not say that nothing waits", async () => {
    await fill();
    const waiting = async (...args: string[]) => (await rows("list", ...args)).filter(({ state }) => state === "waits");
    assertEquals((await waiting("--contract", "Stay", "--limit", "1")).map(({ key }) => key), ["r-1"]);
    assertEquals(await run("list", "--contract", "Nothing"), {
      ...{ code: 0, out: "" },
      err: "nothing that matches waits or was set aside in a\n",
    });
  });

  it("retries and discards by number, or all that match with --yes", async () => {
    await fill();
    const [first, second] = (await rows()).filter(({ state }) => state === "refused");
    assertEquals(await run("discard", "--cause", "ID_REUSED"), {
      ...{ code: 1, out: "" },
      err: "2 rows would be discarded: --yes does it\n",
    });
    assertEquals((await run("retry", first.n)).code, 0);
    assertEquals((await a.backlog()).refused, 2);
    assertEquals((await rows()).find(({ state, key }) => state === "waits" && key === "9")?.rows, 1);
    const again = await run("retry", first.n, "discard");
    assertEquals([again.code, again.out], [1, ""]);
    assertStringIncludes(again.err, `no row ${first.n} was set aside in a`);
    const discarded = await run("discard", "--cause", "ID_REUSED", "--yes");
    assertEquals([discarded.code, discarded.out], [0, `discarded: a ${second.n} Booked x-2\n`]);
    assertEquals((await run("discard", "--yes")).code, 0);
    assertEquals(await run("retry", "--yes"), { code: 0, out: "", err: "no row that was set aside matches in a\n" });
    assertEquals((await a.backlog()).refused, 0);
  });

  it("says of a row that somebody else has settled meanwhile that it was not changed, and fails", async () => {
    const lost = join(folder, "lost.mjs");
    await writeFile(
      lost,
      `const gone = () => Promise.resolve(false);
export const a = { "~store": {}, name: "a", lanes: () => [], async *refused() {
  for (const n of ["7", "8"]) {
    yield { n, kind: "event", contract: "Booked", id: "x-" + n, at: 0, why: "NO_RUN: x", discard: gone,
      retry: n === "7" ? gone : () => Promise.resolve(true) };
  }
} };`,
    );
    assertEquals(await cliHere(["outbox", lost, "retry", "--yes"]), {
      ...{ code: 1, out: "retried: a 8 Booked x-8\n" },
      err: "not retried: a 7 Booked x-7 is no longer set aside\n",
    });
    const { out, err } = await cliHere(["outbox", lost, "discard", "7", "--json"]);
    assertEquals([out, err], ["", "not discarded: a 7 Booked x-7 is no longer set aside\n"]);
  });

  it("says that nothing waits, of each store that the file exports", async () => {
    assertEquals(await cliHere(["outbox", both]), { code: 0, out: "", err: "nothing waits in a, b\n" });
    const { code, err } = await cliHere(["outbox", both, "retry", "1"]);
    assertEquals(code, 2);
    assertMatch(err, /exports 2 stores, and N names a row of one/);
  });

  it("explains a command line that is wrong", async () => {
    const none = join(folder, "none.mjs");
    await writeFile(none, "export const answer = 42;");
    for (
      const [args, wanted] of [
        [[], "usage: catga outbox FILE [VERB] [N…]"],
        [[file, "replay"], 'outbox takes list, retry, discard behind the file; got "replay"'],
        [[file, "list", "--yes"], "--yes is for catga outbox retry and catga outbox discard"],
        [[file, "list", "7"], "outbox list takes no N"],
        [[file, "retry", "--limit", "7"], "--limit is for catga outbox list"],
        [[none], "exports no store: export what sqlStore() of @catga/catga/sql returns"],
      ] as const
    ) {
      const { code, err } = await cliHere(["outbox", ...args]);
      assertEquals(code, 2, err);
      assertStringIncludes(err, wanted);
    }
  });

  it("ends, and says nothing of it, though the file holds connections open", async () => {
    const open = join(folder, "open.mjs");
    await writeFile(
      open,
      `${storeFile(join(folder, "open.sqlite"), ["a"])}\nawait a.migrate();\nsetInterval(() => {}, 9);`,
    );
    assertEquals(await cliApart(["outbox", open]), { code: 0, out: "", err: "nothing waits in a\n" });
  });
});
