/** Converts a message of a bucket's stream to the change of an entry that it describes. */
import type { StoredMessage } from "../ports/event_log.ts";
import { readTtl, type StoredTime } from "./expiry.ts";

/** A message of a bucket's stream, as {@link recordOf} converts it to a change of an entry. */
export interface StreamRecord extends StoredTime {
  readonly subject: string;
  readonly revision: number;
  /** Effect of the message on the entry of its key: the entry was written, removed, or has expired. */
  readonly type: "put" | "delete" | "expire";
  readonly data: string;
}

/** Converts a message of a bucket's stream to the change of an entry that it describes. */
export function recordOf({ subject, sequence, time, data, headers }: StoredMessage): StreamRecord {
  const ttl = readTtl(headers?.["Nats-TTL"]);
  return { subject, revision: sequence, type: typeOf(headers), data: values.decode(data), stored: time, ttl };
}

const values = new TextDecoder("utf-8", { ignoreBOM: true });

function typeOf(headers: StoredMessage["headers"]): StreamRecord["type"] {
  const reason = headers?.["Nats-Marker-Reason"];
  if (reason === "MaxAge") return "expire";
  const operation = headers?.["KV-Operation"];
  return reason || operation === "PURGE" || operation === "DEL" ? "delete" : "put";
}
