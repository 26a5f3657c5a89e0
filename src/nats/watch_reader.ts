/** How a watch reads on behind its feed: with a reader, which shares a consumer with those of other watches. */
import type { StoredMessage } from "../ports/event_log.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { readTtl } from "./expiry.ts";
import type { Feed, FeedListener } from "./feed.ts";
import { recordType, type StreamRecord } from "./jetstream.ts";
import { NatsLogReader } from "./log_reader.ts";

/** What {@link readBehind} calls back, and the filter of the feed. */
export interface WatchReaderOptions extends Pick<FeedListener, "onRecord" | "onBroken"> {
  readonly filter: string;
}

/**
 * Goes on behind a feed that has listed, and closes it when the reader has begun. `undefined` while it is not known how far the feed is.
 * The reader is the caller's to close, also when it is broken.
 */
export function readBehind(
  stream: BucketStream,
  feed: Feed,
  { filter, onRecord, onBroken }: WatchReaderOptions,
): NatsLogReader | undefined {
  const { created } = stream;
  if (created === undefined || feed.upTo === 0) return undefined;
  let begun = false;
  let upTo = 0;
  const reader: NatsLogReader = new NatsLogReader(stream.consumers, {
    subjects: [filter],
    after: { created, sequence: feed.upTo },
    onMessage: (message) => {
      if (message.sequence > upTo) onRecord(recordOf(message));
    },
    onStart: ({ lost }) => {
      // removals leave no trace for long: what came during an interruption has to be listed
      if (begun) return onBroken("the consumer was lost");
      // messages of other keys may be gone, and what the feed has passed on
      if (lost !== undefined && lost.reason !== "expired") return onBroken("the bucket has lost entries");
      begun = true;
      upTo = feed.upTo;
      feed.close();
    },
    onFault: ({ message }) => {
      // until it has begun the feed goes on
      if (begun && reader.fault !== undefined) onBroken(message);
    },
  });
  return reader;
}

/** A message of the stream, as a feed passes it on. */
function recordOf({ subject, sequence, time, data, headers }: StoredMessage): StreamRecord {
  const header = (name: string) => headers?.[name] || undefined;
  return {
    subject,
    revision: sequence,
    type: recordType(header),
    data: decoder.decode(data),
    stored: time,
    ttl: readTtl(header("Nats-TTL")),
  };
}

const decoder = new TextDecoder();
