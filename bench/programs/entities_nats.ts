/**
 * The same by hand, over nats.js: one message with the expectation that nothing was stored of the entity since, and as
 * many bytes as Catga's. With a node the client asks that one, which answers when it is stored. Read by a batch of
 * direct gets, parsed and added up.
 */
import type { Msg } from "@nats-io/transport-node";
import { type Appends, ENDPOINT, openAppends } from "./appends.ts";
import { runDecided } from "./decided.ts";
import type { Order } from "./load.ts";

interface State {
  /** Of the last message. */
  readonly sequence: number;
  readonly events: number;
  readonly qty: number;
}

const NOTHING: State = { sequence: 0, events: 0, qty: 0 };

/** What is known of the last message of an entity. */
interface Last {
  readonly sequence: number;
  /** Its number. */
  readonly events: number;
}

/** Changes entities, each as it was after its own last append unless another way is given to know that. */
function changing(group: string, appends: Appends, load?: (stock: string) => Promise<Last | undefined>) {
  const last = new Map<string, Last>();
  return async (stock: string, order: Order): Promise<number> => {
    const { sequence, events } = (load === undefined ? last.get(stock) : await load(stock)) ??
      { sequence: 0, events: 0 };
    const head = [events, ["Take", `${ENDPOINT}.${appends.count}`, 1, String(events + 1)]];
    const text = JSON.stringify([1, ENDPOINT, appends.count, Date.now(), head, ["Taken", order]]);
    last.set(stock, { sequence: await appends.append(`${group}.${stock}`, text, sequence), events: events + 1 });
    return events + 1;
  };
}

await runDecided({
  async node(options) {
    const appends = await openAppends(options);
    const change = changing(options.group, appends);
    appends.nc.subscribe(`${options.group}-node`, {
      callback(_, message: Msg) {
        const { stock, sku, qty } = message.json<Order & { stock: string }>();
        // the client reads it as an acknowledgement
        const reply = (seq: number) => appends.nc.publish(message.reply!, JSON.stringify({ seq }));
        void change(stock, { sku, qty }).then(reply);
      },
    });
    await appends.nc.flush();
  },
  async client(options) {
    const { group } = options;
    const appends = await openAppends(options);
    const { nc, append } = appends;
    // one subscription for all reads: over transport-deno, whose writes wait for each other, its end would cost 40 ms
    // each time
    const box = appends.createInbox();
    let read: (message: Msg) => void = () => {};
    nc.subscribe(box, { callback: (_, message: Msg) => read(message) });
    /** What the messages of a stock from a sequence on make of a state. */
    const readOn = async (stock: string, from: number, state: State): Promise<State> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      let { sequence, events, qty } = state;
      read = (message) => {
        if (message.data.length === 0) return resolve();
        const [, order] = message.json<[1, string, number, number, unknown, [string, { qty: number }]]>()[5];
        sequence = Number(message.headers!.last("Nats-Sequence"));
        events++;
        qty += order.qty;
      };
      const request = { seq: from, next_by_subj: `${group}.${stock}`, batch: 1_000 };
      nc.publish(`$JS.API.DIRECT.GET.${group}`, JSON.stringify(request), { reply: box });
      await promise;
      return { sequence, events, qty };
    };
    const lastOf = async (subject: string): Promise<Msg | undefined> => {
      const found = await nc.request(`$JS.API.DIRECT.GET.${group}.${subject}`);
      return found.data.length === 0 ? undefined : found;
    };
    /** The entity as the last message of it says. */
    const load = async (stock: string): Promise<Last | undefined> => {
      const found = await lastOf(`${group}.${stock}`);
      if (found === undefined) return undefined;
      const [events] = found.json<[1, string, number, number, [number]]>()[4];
      return { sequence: Number(found.headers!.last("Nats-Sequence")), events: events + 1 };
    };
    return {
      change: options.nodes === 0
        ? changing(group, appends, options.variant === "load" ? load : undefined)
        : (stock, order) =>
          append(`${group}-node`, JSON.stringify({ id: `${ENDPOINT}.${appends.count}`, stock, ...order })),
      reads: {
        async "direct get"(stock) {
          return (await readOn(stock, 1, NOTHING)).events;
        },
        /** A snapshot is made the first time, of the first batch; all else comes behind it. */
        async "direct get of a snapshot"(stock) {
          const subject = `${group}.snapshot.${stock}`;
          const snapshot = await lastOf(subject);
          if (snapshot !== undefined) {
            const state = snapshot.json<State>();
            return (await readOn(stock, state.sequence + 1, state)).events;
          }
          const state = await readOn(stock, 1, NOTHING);
          await append(subject, JSON.stringify(state), 0);
          return (await readOn(stock, state.sequence + 1, state)).events;
        },
      },
    };
  },
});
