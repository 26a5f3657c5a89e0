/** plainjob on a file that is synced: its default is another journal, without this setting. */
import { bun, defineQueue, defineWorker } from "plainjob";
import process from "node:process";
import { answer } from "../programs/answer.ts";
import { type EventsOptions, InOrder } from "../programs/filed.ts";

/** The part of Bun's SQLite that is used: Deno, which checks the types of peers, has no such module. */
interface Database {
  exec(sql: string): void;
}

const name = "bun:sqlite";
const { default: Database } = await import(name) as {
  default: new (path: string, options: { strict: boolean }) => Database;
};
const database = new Database(process.argv[2], { strict: true });
const logger = { error: console.error, warn() {}, info() {}, debug() {} };
const queue = defineQueue({ connection: bun(database as Parameters<typeof bun>[0]), logger });
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
const order = new InOrder();
const worker = defineWorker("message", (job) => {
  order.handle(JSON.parse(job.data));
  return Promise.resolve();
}, { queue, logger, pollIntervall: 1 });
void worker.start();

answer({
  events: (options: EventsOptions) =>
    order.events((message) => {
      queue.add("message", message);
      // it stores at once: others have their turn
      return new Promise((resolve) => setImmediate(resolve));
    }, options),
});
