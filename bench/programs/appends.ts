/**
 * Appends by hand, over nats.js: each says which message it expects to be the last of its subject; acknowledgements
 * come to one subscription.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { RemoteOptions } from "./remote.ts";

/** As long as what Catga writes beside the event: who, and which command. */
export const ENDPOINT = `${"n".repeat(10)}.${"p".repeat(22)}`;

/** A stream, and how it is appended to. */
export interface Appends {
  readonly nc: NatsConnection;
  readonly createInbox: () => string;
  /** How many appends there were. */
  readonly count: number;
  /** Stores a message, and gives its sequence; rejects where another one than `expect` is the last of its subject. */
  append(subject: string, text: string, expect?: number): Promise<number>;
}

/** Makes the stream of a group. */
export async function openAppends({ url, group, transport }: RemoteOptions): Promise<Appends> {
  const { connect, createInbox, headers } = transport === "deno"
    ? await import("@nats-io/transport-deno")
    : await import("@nats-io/transport-node");
  const nc = await connect({ servers: url });
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
  return {
    nc,
    createInbox,
    get count() {
      return next;
    },
    append: (subject, text, expect) =>
      new Promise<number>((resolve, reject) => {
        const number = (next++).toString(36);
        waiting.set(number, { resolve, reject });
        const reply = `${inbox}.${number}`;
        if (expect === undefined) return nc.publish(subject, text, { reply });
        const expected = headers();
        expected.set("Nats-Expected-Last-Subject-Sequence", String(expect));
        nc.publish(subject, text, { reply, headers: expected });
      }),
  };
}
