/** The SQL recipes of docs/recipes.md, as they stand there, in a database that is full. */
import { readFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";

const recipes = await readFile(new URL("../docs/recipes.md", import.meta.url), "utf8");

/** Compiles the lines of a recipe behind the line that ends with `from`, up to the line `to`. */
function body(from: string, to: string, ...names: string[]): (...values: unknown[]) => void {
  const start = recipes.indexOf(`${from}\n`) + from.length;
  const text = recipes.slice(start, recipes.indexOf(`\n${to}`, start));
  assert(text.includes("BEGIN IMMEDIATE") && text.includes("ROLLBACK"), text);
  return new Function(...names, text) as (...values: unknown[]) => void;
}

/** Runs the statements that make the tables of a recipe, in a database of `pages` pages. */
function database(pages: number, mark: string): DatabaseSync {
  const db = new DatabaseSync(":memory:");
  const tables = recipes.split("db.exec(`\n").slice(1).map((text) => text.slice(0, text.indexOf("`)")));
  db.exec(`PRAGMA max_page_count = ${pages}; ${tables.find((text) => text.includes(mark))}`);
  return db;
}

const count = (db: DatabaseSync, table: string) => Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n);

describe("the SQL recipes", () => {
  it("the sink says that the database is full (it said that there was nothing to roll back), and stores nothing by half", () => {
    const db = database(12, "stock");
    const statement = (name: string) =>
      db.prepare(new RegExp(`const ${name} = db.prepare\\("(.*)"\\)`).exec(recipes)![1]);
    const sink = body("Sold.onBatch((batch) => {", "}, { name", "db", "enter", "add", "batch");
    const [enter, add] = [statement("enter"), statement("add")];
    const batch = Array.from({ length: 2_000 }, (_, n) => ({ id: `id-${n}`, payload: { sku: `sku-${n}`, count: 1 } }));
    assertThrows(() => sink(db, enter, add, batch), Error, "full");
    assertEquals([count(db, "inbox"), count(db, "stock"), db.isTransaction], [0, 0, false]);
    db.exec("PRAGMA max_page_count = 10000");
    for (let round = 0; round < 2; round++) sink(db, enter, add, batch);
    assertEquals([count(db, "inbox"), count(db, "stock")], [2_000, 2_000]);
    db.close();
  });

  it("an outbox in a full database throws the cause, and has both rows or none", () => {
    const db = database(8, "outbox");
    const book = body("function book(booking: { room: string; guest: string }) {", "}\n", "db", "booking");
    let error: unknown;
    for (let room = 0; room < 10_000 && error === undefined; room++) {
      try {
        book(db, { room: `${room}`, guest: "ada" });
      } catch (thrown) {
        error = thrown;
      }
    }
    assert(error instanceof Error && error.message.includes("full"), `${error}`);
    assertEquals([count(db, "booking"), db.isTransaction], [count(db, "outbox"), false]);
    db.close();
  });
});
