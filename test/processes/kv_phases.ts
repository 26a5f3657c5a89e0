/**
 * Recognises, in the bytes between a client and a nats-server, the writes by which a node takes, renews and gives away
 * what it holds in the store, and their acknowledgements: so that a fault can be aligned to them.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** What a write is for. */
export type Phase =
  | "claim"
  | "claim renewal"
  | "claim freed"
  | "result"
  | "lock acquired"
  | "lock renewal"
  | "handover"
  | "lock released"
  | "place"
  | "other";

/** A write to a bucket, on its way. */
export interface KvWrite {
  readonly phase: Phase;
  /** `catga_default_locks` */
  readonly bucket: string;
  /** As it stands in the subject. */
  readonly key: string;
}

/** Where a write, or its acknowledgement, is: it has not passed; it has; its acknowledgement has not; that has, too. */
export type Moment = "before" | "after" | "before its acknowledgement" | "acknowledged";

/** A message on a connection, in either direction. */
interface Message {
  readonly subject: string;
  readonly reply: string | undefined;
  readonly headers: string;
  readonly payload: string;
}

/** Reads one direction of one connection. A message is given when its last byte has come. */
export class ProtocolReader {
  #rest = Buffer.alloc(0);

  /** The messages that end in this chunk. */
  read(chunk: Uint8Array): Message[] {
    const data = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const found: Message[] = [];
    let at = 0;
    while (true) {
      const end = data.indexOf("\r\n", at);
      if (end < 0) break;
      const words = data.toString("latin1", at, end).split(/\s+/);
      const verb = words[0].toUpperCase();
      let next = end + 2;
      if (verb === "PUB" || verb === "HPUB" || verb === "MSG" || verb === "HMSG") {
        const total = Number(words.at(-1));
        next += total + 2;
        if (next > data.length) break;
        const withHeaders = verb.startsWith("H");
        const head = withHeaders ? Number(words.at(-2)) : 0;
        // verb, subject, sid (of what the server sends), reply (if any), sizes
        const names = words.slice(1, withHeaders ? -2 : -1);
        const reply = names[verb.endsWith("MSG") ? 2 : 1];
        const body = end + 2;
        found.push({
          subject: names[0],
          reply,
          headers: data.toString("latin1", body, body + head),
          payload: data.toString("utf8", body + head, body + total),
        });
      }
      at = next;
    }
    this.#rest = Buffer.from(data.subarray(at));
    return found;
  }
}

/** What the writes of one node are for. `node`: its id. */
export class PhaseReader {
  readonly #node: string;
  /** The claims that this node was seen to make. */
  readonly #claims = new Set<string>();

  constructor(node: string) {
    this.#node = node;
  }

  /** The write that a message is; `undefined` for another message. */
  read({ subject, headers, payload }: Message): KvWrite | undefined {
    const [, bucket, key] = /^\$KV\.([^.]+)\.(.+)$/.exec(subject) ?? [];
    if (bucket === undefined) return undefined;
    const removal = /^KV-Operation: *(PURGE|DEL)/im.test(headers);
    return { bucket, key, phase: this.#phase(bucket, key, removal, payload) };
  }

  #phase(bucket: string, key: string, removal: boolean, payload: string): Phase {
    if (bucket.endsWith("_idempotency")) {
      if (removal) return "claim freed";
      const { state, nonce } = parse(payload);
      if (state === "done") return "result";
      if (state !== "running" || typeof nonce !== "string") return "other";
      if (this.#claims.has(nonce)) return "claim renewal";
      this.#claims.add(nonce);
      return "claim";
    }
    if (!bucket.endsWith("_locks")) return "other";
    if (key.startsWith("w.")) return removal ? "other" : "place";
    if (!key.startsWith("h.")) return "other";
    if (removal) return "lock released";
    const { token, node } = parse(payload);
    if (token !== undefined) return "lock renewal";
    return node === this.#node ? "lock acquired" : "handover";
  }
}

function parse(payload: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(payload);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {}; // the payload of somebody else
  }
}
