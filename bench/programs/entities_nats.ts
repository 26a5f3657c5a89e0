/**
 * The same by hand, over nats.js: one message with the expectation that nothing was stored of the entity since, and as many
 * bytes as Catga's; acknowledgements come to one subscription. Read by a batch of direct gets, parsed and added up.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { runDecided } from "./decided.ts";

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
    const last = new Map<string, { readonly sequence: number; readonly events: number }>();
    return {
      async change(stock, order) {
        const { sequence, events } = last.get(stock) ?? { sequence: 0, events: 0 };
        const head = [events, ["Take", `${ENDPOINT}.${next}`, 1, String(events + 1)]];
        const text = JSON.stringify([1, ENDPOINT, next, Date.now(), head, ["Taken", order]]);
        last.set(stock, { sequence: await append(`${group}.${stock}`, text, sequence), events: events + 1 });
        return events + 1;
      },
      reads: {
        async "direct get"(stock) {
          const { promise, resolve } = Promise.withResolvers<void>();
          let state = { events: 0, qty: 0 };
          read = (message) => {
            if (message.data.length === 0) return resolve();
            const [, { qty }] = message.json<[1, string, number, number, unknown, [string, { qty: number }]]>()[5];
            state = { events: state.events + 1, qty: state.qty + qty };
          };
          const request = { seq: 1, next_by_subj: `${group}.${stock}`, batch: 1_000 };
          nc.publish(`$JS.API.DIRECT.GET.${group}`, JSON.stringify(request), { reply: box });
          await promise;
          return state.events;
        },
      },
    };
  },
});
