/** Consumers of a stream that a test deletes while their clients use them. */
import { JetStreamApiError, type JetStreamManager } from "@nats-io/jetstream";

/** The server's error for a consumer that does not exist. */
const NOT_FOUND = 10_014;

/** Deletes all consumers of a stream. A client may delete one of them meanwhile: it has begun to read with another. */
export async function deleteConsumers({ consumers }: JetStreamManager, stream: string): Promise<void> {
  for await (const { name } of consumers.list(stream)) {
    await consumers.delete(stream, name).catch((error) => {
      if (!(error instanceof JetStreamApiError && error.code === NOT_FOUND)) throw error;
    });
  }
}
