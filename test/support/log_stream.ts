/** What stands in the log, read by nats.js alone. */
import {
  type Consumer,
  jetstream,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
} from "@nats-io/jetstream";
import { type NatsConnection, TimeoutError } from "@nats-io/transport-node";
import { isReadable, readGroup } from "../../src/log/format/group.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import type { Task } from "../processes/log_messages.ts";
import { eventually } from "./eventually.ts";
import { patientManager } from "./patient_jetstream.ts";
import { connectTo } from "./store_check.ts";

/** The entries of all messages in the log of a namespace, in their order. Rejects for a message that cannot be read. */
export async function readLogEntries(urls: readonly string[], namespace: string): Promise<string[]> {
  const connection = await connectTo(urls);
  try {
    const [consumer, pending] = (await eventually("a reader of the log", () => readerOf(connection, namespace)))!;
    const entries: string[] = [];
    let left = pending;
    if (left === 0) return [];
    const messages = await consumer.consume({ max_messages: 1_000 });
    for await (const { seq: sequence, subject, data, time } of messages) {
      const group = readGroup(namespace, { sequence, subject, data, time: time.getTime() });
      if (!isReadable(group)) throw new Error(`${subject} ${sequence}: ${group.reason}`);
      for (const { payload } of group) entries.push((payload as Task).entry);
      if (--left === 0) break;
    }
    return entries;
  } finally {
    await connection.close();
  }
}

/**
 * A consumer of all messages of the log, and their number; `undefined` while servers that have just come back elect a
 * leader.
 */
async function readerOf(connection: NatsConnection, namespace: string): Promise<[Consumer, number] | undefined> {
  const options = { filter_subjects: `catga.${namespace}.log.>` };
  try {
    const consumer = await jetstream(connection).consumers.get(streamName(namespace, "log"), options);
    return [consumer, (await consumer.info()).num_pending];
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 503 || error instanceof TimeoutError) return undefined;
    throw error;
  }
}

/** The number in the name of the server that leads a stream: `n0`, `n1`, … */
export async function leaderOf(urls: readonly string[], stream: string): Promise<number> {
  const connection = await connectTo(urls);
  try {
    // without a leader of the servers the check of the API would time out
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const found = await eventually(`a leader of ${stream}`, async () => {
      // an election is going on
      const info = await manager.streams.info(stream).catch(() => undefined);
      return info?.cluster?.leader;
    });
    return Number(found!.slice(1));
  } finally {
    await connection.close();
  }
}

/** Calls back with a manager of the server's streams. */
export async function withManager(
  urls: readonly string[],
  use: (manager: JetStreamManager) => Promise<unknown>,
): Promise<void> {
  const connection = await connectTo(urls);
  try {
    await use(await patientManager(connection));
  } finally {
    await connection.close();
  }
}
