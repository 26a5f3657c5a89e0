/**
 * JetStream by nats.js: `js.publish`, and `consume()` with explicit acknowledgements; one process, in no order. As it
 * is, `consume()` iterates, with 100 messages in hand; the variant `callback` gives them to a callback, as many in hand
 * as two nodes of Catga have. The variant `by key` is two processes: one consumes, and sends every second key to the
 * other one, as a leader of Catga does, and acknowledges when that has answered. The variant `id and ttl` iterates over
 * messages with the headers that Catga's have, which the server reads and indexes.
 */
import process from "node:process";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { runLogged, type Stored } from "./logged.ts";
import { open } from "./connection.ts";

/** As many as two nodes of Catga have in hand. */
const AT_ONCE = 2_048;

await runLogged({
  async node(options, handle) {
    const { group } = options;
    const nc = await open(options);
    const manager = await jetstreamManager(nc);
    await manager.streams.add({
      name: group,
      subjects: [`${group}.>`],
      allow_msg_ttl: options.variant === "id and ttl",
    });
    await manager.consumers.add(group, {
      durable_name: "billing",
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.New,
      filter_subject: `${group}.placed`,
      max_ack_pending: AT_ONCE,
    });
    if (options.variant === "by key" && !await isFirst(nc, group)) {
      nc.subscribe(`${group}.run`, {
        callback: (_, message) => void Promise.resolve(handle(message.json<Stored>())).then(() => message.respond()),
      });
      return;
    }
    const consumer = await jetstream(nc).consumers.get(group, "billing");
    if (options.variant === "callback") {
      await consumer.consume({
        max_messages: AT_ONCE,
        callback(message) {
          const handling = handle(message.json<Stored>());
          if (handling === undefined) message.ack();
          else handling.then(() => message.ack());
        },
      });
      return;
    }
    if (options.variant === "by key") {
      await consumer.consume({
        max_messages: AT_ONCE,
        callback(message) {
          const stored = message.json<Stored>();
          const handled = stored.qty % 2 === 0 ? handle(stored) : nc.request(`${group}.run`, message.data, PATIENT);
          if (handled === undefined) message.ack();
          else handled.then(() => message.ack());
        },
      });
      return;
    }
    const messages = await consumer.consume();
    void (async () => {
      for await (const message of messages) {
        await handle(message.json<Stored>());
        message.ack();
      }
    })();
  },
  async client(options) {
    const { group, variant } = options;
    const js = jetstream(await open(options));
    let ids = 0;
    const placing = variant === "id and ttl"
      ? () => ({ ...PATIENT, msgID: `${process.pid}.${ids++}`, ttl: "604800s" })
      : () => PATIENT;
    return {
      publish: (stored) => js.publish(`${group}.placed`, JSON.stringify(stored), placing()),
      store: (stored, id) =>
        js.publish(`${group}.noted`, JSON.stringify(stored), id === undefined ? PATIENT : { ...PATIENT, msgID: id }),
    };
  },
});

/** The server of a busy machine may take longer than the 5 s that nats.js waits by default. */
const PATIENT = { timeout: 60_000 };

/** Resolves with true in one process of a group. */
async function isFirst(nc: NatsConnection, group: string): Promise<boolean> {
  const { duplicate } = await jetstream(nc).publish(`${group}.first`, "", { msgID: "first" });
  return !duplicate;
}
