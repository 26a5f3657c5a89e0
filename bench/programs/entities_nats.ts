/**
 * The same by hand, over nats.js: one message with the expectation that nothing was stored of the entity since, and as many
 * bytes as Catga's; acknowledgements come to one subscription. Read by a batch of direct gets, parsed and added up.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { runDecided } from "./decided.ts";

interface State {
  /** Of the last message. */
  readonly sequence: number;
  readonly events: number;
  readonly qty: number;
}

const NOTHING: State = { sequence: 0, events: 0, qty: 0 };

/** As long as what Catga writes beside the event: who, and which command. */
const ENDPOINT = `${"n".repeat(10)}.${"p".repeat(22)}`;

await runDecided({
  node: () => Promise.reject(new Error("it has no nodes")),
  async client(options) {
    const { group } = options;
    const { connect, createInbox, headers } = options.transport === "deno"
      ? await import("@nats-io/transport-deno")
      : await import("@nats-io/transport-node");
    const nc = await connect({ servers: options.url });
    const manager = await jetstreamManager(nc);
    await manager.streams.add({ name: group, subjects: [`${group}.>`], allow_direct: true });
    const inbox = createInbox();
    const waiting = new Map<string, { resolve(sequence: number): void; reject(error: Error): void }>();
    let next = 0;
    nc.subscribe(`${inbox}.*`, {
      callback(_, message: Msg) {
        const number = message.subject.slice(inbox.length + 1);
        const { resolve, reject } = waiting.get(number)!;
        waiting.delete(number);
        const { seq, error } = message.json<{ seq?: number; error?: { description: string } }>();
        if (error === undefined && seq !== undefined) resolve(seq);
        else reject(new Error(error?.description));
      },
    });
    const append = (subject: string, text: string, expect: number) =>
      new Promise<number>((resolve, reject) => {
        const number = (next++).toString(36);
        waiting.set(number, { resolve, reject });
        const expected = headers();
        expected.set("Nats-Expected-Last-Subject-Sequence", String(expect));
        nc.publish(subject, text, { reply: `${inbox}.${number}`, headers: expected });
      });
    // one subscription for all reads: over transport-deno, whose writes wait for each other, its end would cost 40 ms each time
    const box = createInbox();
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
    const last = new Map<string, { readonly sequence: number; readonly events: number }>();
    /** The entity as the last message of it says. */
    const load = async (stock: string) => {
      const found = await lastOf(`${group}.${stock}`);
      if (found === undefined) return undefined;
      const [events] = found.json<[1, string, number, number, [number]]>()[4];
      return { sequence: Number(found.headers!.last("Nats-Sequence")), events: events + 1 };
    };
    return {
      async change(stock, order) {
        const known = options.variant === "load" ? await load(stock) : last.get(stock);
        const { sequence, events } = known ?? { sequence: 0, events: 0 };
        const head = [events, ["Take", `${ENDPOINT}.${next}`, 1, String(events + 1)]];
        const text = JSON.stringify([1, ENDPOINT, next, Date.now(), head, ["Taken", order]]);
        last.set(stock, { sequence: await append(`${group}.${stock}`, text, sequence), events: events + 1 });
        return events + 1;
      },
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
