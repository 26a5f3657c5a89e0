/**
 * Status of a bucket, by `@nats-io/kv`, for the command line tool. A node does not load that package: it checks each
 * setting of a bucket's stream (`bucket_stream.ts`).
 */
import { Kvm, type KvStatus } from "@nats-io/kv";
import { type JetStream, JetStreamRefusal } from "./jetstream.ts";

/** The status of a bucket; `undefined` if there is none. Takes at most `limit` ms, and rejects as `JetStream.ask`. */
export async function bucketStatus(js: JetStream, bucket: string, limit: number): Promise<KvStatus | undefined> {
  try {
    return await js.ask(async (client) => await (await new Kvm(client).open(bucket)).status(), limit);
  } catch (error) {
    if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
    throw error;
  }
}
