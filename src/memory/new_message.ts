/** Makes a message that is to be stored in a stream in memory, with the headers that it would have on NATS. */
import { appendHeaders, type AppendOptions, ttlSeconds } from "../ports/event_log.ts";

/** A message to be stored in a stream in memory. */
export interface NewMessage extends Pick<AppendOptions, "id" | "expect" | "rollup" | "schedule"> {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** Time to live of the message, in seconds; `undefined`: it does not expire. */
  readonly seconds?: number | undefined;
}

const encoder = new TextEncoder();

/** Makes the message for an append whose arguments were checked. */
export function newMessage(subject: string, data: string | Uint8Array, options: AppendOptions): NewMessage {
  const { id, ttl, expect, rollup, schedule } = options;
  const own = Object.entries(options.headers ?? {}).map(([name, value]) => [name, value.trim()]);
  // `rollup`: a schedule replaces the earlier message of its subject
  const headers = appendHeaders({
    ...options,
    headers: Object.fromEntries(own),
    rollup: rollup || schedule !== undefined,
  });
  return {
    subject,
    data: typeof data === "string" ? encoder.encode(data) : new Uint8Array(data),
    headers: headers && Object.keys(headers).length > 0 ? Object.freeze(headers) : undefined,
    seconds: ttl === undefined ? undefined : ttlSeconds(ttl),
    ...{ id, expect, rollup, schedule },
  };
}
