/** Deno KV on a file: messages are enqueued, and handled by its queue, which promises no order by key. */
import process from "node:process";
import { answer } from "../programs/answer.ts";
import { type EventsOptions, InOrder, type Numbered } from "../programs/filed.ts";

/** The part of Deno KV that is used; its types are there with a flag alone. */
interface Kv {
  listenQueue(handler: (message: Numbered) => void): Promise<void>;
  enqueue(message: Numbered): Promise<unknown>;
}

const { openKv } = Deno as unknown as { openKv(path: string): Promise<Kv> }; // with `--unstable-kv`
const kv = await openKv(process.argv[2]);
const order = new InOrder();
let handled = 0;
void kv.listenQueue(({ n }) => order.handle({ n, key: `${handled++}` }));

answer({ events: (options: EventsOptions) => order.events((message) => kv.enqueue(message), options) });
