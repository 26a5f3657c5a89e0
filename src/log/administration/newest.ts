/** The messages of a stream, the newest first: NATS reads forward only. */
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";

/** The messages from a sequence on that are before those of the part before this one. */
export interface MessagePart {
  readonly from: number;
  /** The newest first. */
  readonly messages: readonly StoredMessage[];
}

/**
 * Reads the messages of a subject (a pattern) in parts, the newest first, down to the sequence `least`. Where few of
 * them stand between others, the parts become longer. Rejects as `LogStream.read`.
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
      width = MAX_BATCH; // there are many here: one read has them
      continue;
    }
    yield { from, messages: found.reverse() };
    end = from;
    if (found.length < MAX_BATCH / 4) width *= 4;
  }
}

/** Messages that are read at once. */
const MAX_BATCH = 500;
