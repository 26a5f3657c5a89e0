/** Deno KV on a file: messages are enqueued, and handled by its queue, which promises no order by key. */
import process from "node:process";
import { answer } from "../programs/answer.ts";
import { type EventsOptions, InOrder, type Numbered } from "../programs/filed.ts";

const kv = await Deno.openKv(process.argv[2]);
const order = new InOrder();
let handled = 0;
kv.listenQueue(({ n }: Numbered) => order.handle({ n, key: `${handled++}` }));

answer({ events: (options: EventsOptions) => order.events((message) => kv.enqueue(message), options) });
