/** plainjob on a file that is synced: its default is another journal, without this setting. */
import Database from "bun:sqlite";
import { bun, defineQueue, defineWorker } from "plainjob";
import process from "node:process";
import { answer } from "../programs/answer.ts";
import { type EventsOptions, InOrder } from "../programs/filed.ts";

const database = new Database(process.argv[2], { strict: true });
const logger = { error: console.error, warn() {}, info() {}, debug() {} };
const queue = defineQueue({ connection: bun(database), logger });
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
