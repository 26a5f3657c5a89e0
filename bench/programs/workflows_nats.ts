/** Four chained appends by hand, over nats.js: each expects the one before, and as many bytes as Catga's; acknowledgements come to one subscription. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { runFlowing } from "./flowing.ts";

const ENDPOINT = `${"n".repeat(10)}.${"p".repeat(22)}`;

await runFlowing({
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
    const waiting = new Map<string, (message: Msg) => void>();
    let next = 0;
    nc.subscribe(`${inbox}.*`, {
      callback(_, message: Msg) {
        const number = message.subject.slice(inbox.length + 1);
        waiting.get(number)!(message);
        waiting.delete(number);
      },
    });
    const append = (subject: string, text: string, expect: number) =>
      new Promise<number>((resolve, reject) => {
        const number = (next++).toString(36);
        waiting.set(number, (message) => {
          const { seq, error } = message.json<{ seq?: number; error?: { description: string } }>();
          if (error === undefined && seq !== undefined) resolve(seq);
          else reject(new Error(error?.description));
        });
        const expected = headers();
        expected.set("Nats-Expected-Last-Subject-Sequence", String(expect));
        nc.publish(subject, text, { reply: `${inbox}.${number}`, headers: expected });
      });
    let runs = 0;
    return {
      async once() {
        const run = `r${runs++}`;
        let sequence = 0;
        for (const entry of ["started", "a", "b", "c"]) {
          const head = [0, ["Three", run, 1, ENDPOINT]];
          const step = { t: "done", step: entry, outcome: { ok: true, value: 1 } };
          const text = JSON.stringify([1, ENDPOINT, next, Date.now(), head, ["recorded", step]]);
          sequence = await append(`${group}.${run}`, text, sequence);
        }
      },
    };
  },
});
