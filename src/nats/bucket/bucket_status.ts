/**
 * Reads the status of a bucket with `@nats-io/kv`, for the command line tool. A node does not load that package: it
 * checks each setting of the bucket's stream itself (`bucket_stream.ts`).
 */
import type { KvStatus } from "@nats-io/kv";
import { JetStream } from "../stream/jetstream.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import type { NatsTransport } from "../connection/transport.ts";

/**
 * Returns the status of a bucket; `undefined`: the bucket does not exist. Takes at most `limit` ms, and rejects like
 * `JetStream.ask`.
 */
export async function bucketStatus(
  transport: NatsTransport,
  bucket: string,
  limit: number,
): Promise<KvStatus | undefined> {
  const { Kvm } = await transport.driver.kv();
  const js = new JetStream(transport);
  try {
    return await js.ask(async (client) => await (await new Kvm(client).open(bucket)).status(), limit);
  } catch (error) {
    if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
    throw error;
  }
}
