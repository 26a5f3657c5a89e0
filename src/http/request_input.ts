/** Reads the input of a call from an HTTP request: from its body, or from its URL. */
import { decode, joinBytes } from "../data/utf8.ts";
import { decodeText } from "../data/encoding.ts";
import { isTagged } from "../data/tags.ts";
import { type Clock, systemClock, type Timer } from "../ports/clock.ts";
import { EdgeRefusal } from "./refusal.ts";

/** Media type of values with tags, which Catga's client sends and accepts; they keep types that JSON lacks. */
export const VALUES = "application/vnd.catga+json";

/** Returns true if a request wants its answer as values with tags, not as plain JSON. */
export function wantsValues(request: Request): boolean {
  return request.headers.get("accept")?.includes(VALUES) ?? false;
}

/**
 * Returns the refusal of a body with this media type; `undefined`: the body is accepted as JSON, there is no body, or
 * only reading can tell if there is one.
 */
export function refusedMediaType(request: Request): EdgeRefusal | undefined {
  const type = request.headers.get("content-type");
  if (type === null && (request.body === null || !(Number(request.headers.get("content-length")) > 0))) {
    return undefined;
  }
  if (type === "application/json" || type === VALUES) return undefined;
  const [media] = (type ?? "").split(";", 1);
  if (["application/json", VALUES].includes(media.trim().toLowerCase())) return undefined;
  return unsupported();
}

function unsupported(): EdgeRefusal {
  return new EdgeRefusal(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json");
}

/**
 * Parses the input of a call from a text of a URL or a body. Throws a refusal if the text is neither JSON nor a value
 * with tags.
 */
export function inputOf(text: string): unknown {
  if (text === "") return undefined;
  try {
    return isTagged(text) ? decodeText(text) : JSON.parse(text);
  } catch {
    throw new EdgeRefusal(400, "INVALID_MESSAGE", "the input is not valid JSON");
  }
}

/** Options of a {@link BodyReader}, which reads the bodies of requests. */
export interface BodyReaderOptions {
  /** Maximum size of a body, in bytes. */
  readonly maxSize: number;
  /** Time within which a body has to arrive completely, in ms. */
  readonly timeout: number;
  /** Aborts when the node begins to drain (shut down in an orderly way). */
  readonly draining: AbortSignal;
  readonly clock?: Clock;
}

/** Reads the bodies of requests, each up to a maximum size and within a time limit. */
export class BodyReader {
  readonly #maxSize: number;
  readonly #timeout: number;
  readonly #draining: AbortSignal;
  readonly #clock: Clock;
  /** Bodies that have not arrived completely, oldest first. One timer serves all. */
  readonly #pending = new Set<PendingBody>();
  #timer: Timer | undefined;

  constructor({ maxSize, timeout, draining, clock = systemClock }: BodyReaderOptions) {
    this.#maxSize = maxSize;
    this.#timeout = timeout;
    this.#draining = draining;
    this.#clock = clock;
    draining.addEventListener("abort", () => this.#stopIfIdle(), { once: true });
  }

  /**
   * Reads and parses the body of a request. Rejects with a refusal if the body is too large, too late, or neither UTF-8
   * nor JSON, or has no media type; with a `TypeError` if the program has read or locked it, such as a body parser that
   * stands before an adapter for Node: a body that was sent is never taken for no input.
   */
  input(request: Request): Promise<unknown> {
    const { headers } = request;
    if (request.bodyUsed) return Promise.reject(alreadyRead());
    const length = headers.get("content-length");
    if (Number(length) > this.#maxSize) return Promise.reject(this.#tooLarge());
    // with a transfer coding, `content-length` is ignored (RFC 9112, 6.3)
    const isBounded = length !== null && /^\d+$/.test(length) && !headers.has("transfer-encoding");
    return new Promise((resolve, reject) => {
      const due = this.#clock.monotonic() + this.#timeout;
      const sent = sentBody(headers);
      const pending: PendingBody = {
        due,
        typed: headers.has("content-type"),
        sent,
        resolve,
        reject,
        cancel: undefined,
      };
      this.#pending.add(pending);
      this.#timer ??= this.#arm(this.#timeout);
      // the body with a length is read at once, in a third of the time: servers end a body at its announced length
      const read = isBounded ? bytesOf(request) : this.#chunks(request, pending);
      // a body that could not be read although nothing of it was read is locked by the program
      const failed = (error: unknown) =>
        this.#fail(pending, request.bodyUsed && !isReadBefore(error) ? refusalOf(error) : alreadyRead());
      read.then((bytes) => this.#parse(pending, bytes), failed);
    });
  }

  /** Reads a body of at most 16 MiB that nobody has read, and drops it, within the time limit. */
  async discard({ body, bodyUsed, headers }: Request): Promise<void> {
    const length = Number(headers.get("content-length"));
    // a body that does not say its length may have no end
    if (body === null || bodyUsed || body.locked || !(length > 0 && length <= MAX_DISCARDED)) return;
    const reader = body.getReader();
    const cancel = () => void reader.cancel().catch(() => {}); // errors are ignored: nobody waits for the body
    const timer = this.#clock.after(this.#timeout, cancel, { background: true });
    try {
      while (!(await reader.read()).done);
    } catch {
      // the client is gone, and with it whoever would get the answer
    } finally {
      timer.cancel();
    }
  }

  #parse(pending: PendingBody, bytes: Uint8Array): void {
    try {
      if (bytes.length > this.#maxSize) throw this.#tooLarge();
      if (bytes.length > 0 && !pending.typed) throw unsupported();
      if (bytes.length === 0 && pending.sent !== undefined) {
        return this.#fail(pending, pending.sent === "certainly" ? alreadyRead() : empty());
      }
      const input = inputOf(decode(bytes));
      this.#end(pending);
      pending.resolve(input);
    } catch (error) {
      this.#fail(pending, refusalOf(error));
    }
  }

  #fail(pending: PendingBody, error: EdgeRefusal | TypeError): void {
    this.#end(pending);
    pending.reject(error);
  }

  #end(pending: PendingBody): void {
    this.#pending.delete(pending);
    if (this.#draining.aborted) this.#stopIfIdle();
  }

  async #chunks({ body }: Request, pending: PendingBody): Promise<Uint8Array> {
    if (body === null) return NO_BYTES;
    const reader = body.getReader();
    pending.cancel = () => void reader.cancel().catch(() => {}); // errors are ignored: nobody waits for the body
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        size += read.value.length;
        if (size > this.#maxSize) throw this.#tooLarge();
        chunks.push(read.value);
      }
      return joinBytes(chunks, size);
    } finally {
      pending.cancel();
    }
  }

  /**
   * Called while the node drains: cancels the timer that ends requests whose bodies take too long, if no body is being
   * read. Before a drain the timer is kept, so that it need not be set for each body.
   */
  #stopIfIdle(): void {
    if (this.#pending.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(ms: number): Timer {
    return this.#clock.after(ms, () => {
      const now = this.#clock.monotonic();
      for (const pending of this.#pending) {
        if (pending.due > now) break;
        this.#fail(
          pending,
          new EdgeRefusal(408, "REQUEST_TIMEOUT", `the body did not come within ${this.#timeout} ms`),
        );
        pending.cancel?.();
      }
      const [next] = this.#pending;
      this.#timer = next && this.#arm(Math.ceil(next.due - now));
    }, { background: true });
  }

  #tooLarge(): EdgeRefusal {
    return new EdgeRefusal(413, "TOO_LARGE", `the body must have ${this.#maxSize} bytes at most`);
  }
}

/** Returns the bytes of the whole body. */
function bytesOf(request: Request): Promise<Uint8Array> {
  // `bytes()` is a third faster in Bun than `arrayBuffer()`; requests made by adapters for Node have only
  // `arrayBuffer()`
  if (Object.getPrototypeOf(request) === Request.prototype) return request.bytes();
  return request.arrayBuffer().then((buffer) => new Uint8Array(buffer));
}

/** A body that has not arrived completely. */
interface PendingBody {
  /** Time until which the body has to arrive, by the monotonic clock. */
  readonly due: number;
  /** True if the request has a media type. */
  readonly typed: boolean;
  /**
   * `certainly`: the client has sent a body that is not empty. `as JSON`: it has sent one of unknown length, which is
   * empty only if the client made a mistake. `undefined`: it may have sent none.
   */
  readonly sent: "certainly" | "as JSON" | undefined;
  readonly resolve: (input: unknown) => void;
  readonly reject: (error: EdgeRefusal | TypeError) => void;
  /** Stops reading the body. */
  cancel: (() => void) | undefined;
}

/** Returns the refusal of a body for an error of reading or parsing it. */
function refusalOf(error: unknown): EdgeRefusal {
  if (error instanceof EdgeRefusal) return error;
  return new EdgeRefusal(400, "INVALID_MESSAGE", "the body could not be read as UTF-8");
}

/**
 * Returns whether the client has sent a body ({@link PendingBody.sent}). JSON is never empty; in Deno, `fetch` sends no
 * input as an empty body of unknown length, with Catga's media type or with none.
 */
function sentBody(headers: Headers): PendingBody["sent"] {
  if (Number(headers.get("content-length")) > 0) return "certainly";
  const type = headers.get("content-type");
  return headers.has("transfer-encoding") && type !== null && !type.includes(VALUES) ? "as JSON" : undefined;
}

/** Returns true for the errors of `fetch`'s bodies, here and in adapters for Node, that were read before. */
function isReadBefore(error: unknown): boolean {
  return error instanceof TypeError && /\b(?:disturbed|locked|unusable|already)\b/i.test(error.message);
}

/** The error of a request whose body the program has read, or has locked. */
function alreadyRead(): TypeError {
  return new TypeError(
    "the body of the request has been read before: mount the edge before what parses bodies, such as express.json(), " +
      "or give the handler a clone, made by request.clone() before that",
  );
}

/** The refusal of an empty body of unknown length that is said to be JSON. Nothing shows who emptied it. */
function empty(): EdgeRefusal {
  return new EdgeRefusal(
    400,
    "INVALID_MESSAGE",
    "the body is empty, which is no JSON: send no content-type, or a content-length of 0, for no input. If the client " +
      "has sent one, something in front of the edge has read it: mount the edge before what parses bodies",
  );
}

/** Length of the largest body that is read although its request is refused, in bytes. */
const MAX_DISCARDED = 16_777_216;
const NO_BYTES = new Uint8Array();
