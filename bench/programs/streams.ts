/**
 * Items from one process to another: streams of Catga, or messages of nats.js that are published one by one. The
 * arguments: `node` or `client`, and the options.
 */
import process from "node:process";
import { catga, stream } from "../../mod.ts";
import { quantile } from "../statistics.ts";
import { answer } from "./answer.ts";
import type { Latencies } from "./load.ts";
import { now, started } from "./remote.ts";

/** So many items of 100 bytes of JSON; or one each `every` ms, with the time in it. */
interface Wanted {
  readonly count: number;
  readonly every: number;
}

/** Reads what was wanted, and calls back with each item. */
type Read = (wanted: Wanted, each: (item: string | number) => boolean) => Promise<void>;

const ITEM = "x".repeat(98);
const Items = stream<Wanted, string | number>("Items");
const { side, options } = started();
const { url, group, transport, variant } = options;
/** How many messages nats.js publishes in a turn of the event loop; NaN: it is Catga. */
const PER_TURN = Number(variant);
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

if (side === "node") {
  await (PER_TURN > 0 ? publishItems() : feedItems());
  answer({});
} else {
  const read = await (PER_TURN > 0 ? subscribing() : streaming());
  const all = async (count: number): Promise<void> => {
    let came = 0;
    await read({ count, every: 0 }, () => ++came < count);
    if (came !== count) throw new Error(`${came} of ${count} items came`);
  };
  answer({
    one: async ({ count }: { count: number }): Promise<number> => {
      const start = now();
      await all(count);
      return count / (now() - start) * 1_000;
    },
    many: async ({ streams, count }: { streams: number; count: number }): Promise<number> => {
      const start = now();
      await Promise.all(Array.from({ length: streams }, () => all(count)));
      return streams * count / (now() - start) * 1_000;
    },
    alone: async ({ count }: { count: number }): Promise<Latencies> => {
      const late: number[] = [];
      await read({ count, every: 2 }, (at) => late.push(now() - Number(at)) < count);
      late.sort((a, b) => a - b);
      return { p50: quantile(late, 0.5), p99: quantile(late, 0.99), p999: quantile(late, 0.999) };
    },
  });
}

async function feedItems(): Promise<void> {
  const handler = Items.handle(async function* ({ count, every }) {
    for (let n = 0; n < count; n++) {
      if (every === 0) yield ITEM;
      else {
        await pause(every);
        yield now();
      }
    }
  });
  await catga({ nats: url, namespace: group, transport, handlers: handler });
}

async function streaming(): Promise<Read> {
  const app = await catga({ nats: url, namespace: group, transport, service: "client" });
  return async (wanted, each) => {
    for await (const item of app.stream(Items, wanted)) if (!each(item)) break;
  };
}

async function publishItems(): Promise<void> {
  const nc = await open();
  nc.subscribe(`${group}.items`, {
    callback: (_error, message) => void publishAll(message.json<Wanted>(), message.reply!),
  });
  await nc.flush();

  async function publishAll({ count, every }: Wanted, reply: string): Promise<void> {
    for (let n = 1; n <= count; n++) {
      if (every > 0) {
        await pause(every);
        nc.publish(reply, JSON.stringify(now()));
        continue;
      }
      nc.publish(reply, JSON.stringify(ITEM));
      if (n % PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve)); // so that they leave
    }
  }
}

async function subscribing(): Promise<Read> {
  const nc = await open();
  let inboxes = 0;
  return (wanted, each) =>
    new Promise((resolve) => {
      const inbox = `${group}.inbox.${process.pid}.${++inboxes}`;
      const subscription = nc.subscribe(inbox, {
        callback(_error, message) {
          if (each(message.json<string | number>())) return;
          subscription.unsubscribe();
          resolve();
        },
      });
      nc.publish(`${group}.items`, JSON.stringify(wanted), { reply: inbox });
    });
}

async function open() {
  const { connect } = transport === "deno"
    ? await import("@nats-io/transport-deno")
    : await import("@nats-io/transport-node");
  return await connect({ servers: url });
}
