/** Reads the messages of a stream from the newest to the oldest, which NATS does not offer. */
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";

/** A part of a stream read from its end: the messages from the sequence `from` up to the part yielded before. */
export interface MessagePart {
  readonly from: number;
  /** Messages of the part, the newest first. */
  readonly messages: readonly StoredMessage[];
}

/**
 * Reads the messages of a subject (a pattern) in parts, the newest part first, down to the sequence `least`. The rarer
 * messages of the subject are, the more sequences a part covers. Rejects like `LogStream.read`.
 */
export async function* newest(
  stream: Pick<LogStream, "read">,
  subject: string,
  { last, least }: { readonly last: number; readonly least: number },
): AsyncGenerator<MessagePart> {
  for (let [end, width] = [last + 1, MAX_BATCH]; end > least;) {
    const from = Math.max(least, end - width);
    const found: StoredMessage[] = [];
    for (let at = from; at < end;) {
      const messages = await stream.read(subject, { from: at, most: MAX_BATCH });
      for (const message of messages) if (message.sequence < end) found.push(message);
      at = (messages.at(-1)?.sequence ?? end) + 1;
      if (found.length >= MAX_BATCH && width > MAX_BATCH) break;
    }
    if (found.length >= MAX_BATCH && width > MAX_BATCH) {
      // messages of the subject are dense here: a narrower part, with at most MAX_BATCH messages, is read instead
      width = MAX_BATCH;
      continue;
    }
    yield { from, messages: found.reverse() };
    end = from;
    if (found.length < MAX_BATCH / 4) width *= 4;
  }
}

/** Number of messages that are read at once. */
const MAX_BATCH = 500;
