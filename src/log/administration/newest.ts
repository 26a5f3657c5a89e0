/** Reads a stream backwards, which NATS does not offer. */
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";

/** A part of the messages, read backwards: from the sequence `from` up to the part that was read before. */
export interface MessagePart {
  readonly from: number;
  /** Messages, the newest first. */
  readonly messages: readonly StoredMessage[];
}

/**
 * Reads the messages of a subject (a pattern) in parts, the newest first, down to the sequence `least`. The parts
 * become longer where such messages are rare. Rejects like `LogStream.read`.
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
      width = MAX_BATCH; // messages are dense here: one read has them all
      continue;
    }
    yield { from, messages: found.reverse() };
    end = from;
    if (found.length < MAX_BATCH / 4) width *= 4;
  }
}

/** Number of messages that are read at once. */
const MAX_BATCH = 500;
