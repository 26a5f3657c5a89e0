/** Workflows by hand: each step of a run is a synced transaction of SQLite; and what the disk's own sync takes. */
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { answer } from "./answer.ts";
import { type AtOnce, runsAtOnce } from "./flowing.ts";

const [path] = process.argv.slice(2);
const database = new DatabaseSync(path);
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
database.exec(
  "CREATE TABLE step (run INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, name))",
);
const insert = database.prepare("INSERT INTO step VALUES (?, ?, ?)");
let runs = 0;

answer({
  run: (options: AtOnce) =>
    runsAtOnce(async () => {
      const run = runs++;
      for (const [at, name] of ["a", "b", "c"].entries()) {
        insert.run(run, name, JSON.stringify(await Promise.resolve(at)));
      }
    }, options),
  /** What a sync of 4 kB takes, behind a log that grows, in ms. */
  sync({ ms }: { ms: number }): number {
    const log = openSync(`${path}-sync`, "w");
    const block = new Uint8Array(4_096);
    const start = performance.now();
    let syncs = 0;
    for (; performance.now() - start < ms; syncs++) {
      writeSync(log, block);
      fdatasyncSync(log);
    }
    closeSync(log);
    return (performance.now() - start) / syncs;
  },
});
