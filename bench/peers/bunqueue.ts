/** bunqueue on a file, embedded: each message is stored before it is acknowledged (`durable`). */
import { Queue, Worker } from "bunqueue/client";
import process from "node:process";
import { answer } from "../programs/answer.ts";
import { type EventsOptions, InOrder, type Numbered } from "../programs/filed.ts";

const queue = new Queue("messages", { embedded: true, dataPath: process.argv[2] });
const order = new InOrder();
let handled = 0;
new Worker<Numbered>("messages", ({ data: { n } }) => {
  order.handle({ n, key: `${handled++}` }); // it promises no order by key
  return Promise.resolve();
}, { embedded: true, concurrency: 256 });

answer({
  events: (options: EventsOptions) =>
    order.events((message) => queue.add("message", message, { durable: true }), options),
});
