/** The envelope of a message from another process: its id, sender, headers and the like, computed when read. */
import { NO_HEADERS } from "../../dispatch/carried_headers.ts";
import type { Envelope } from "../../dispatch/context_host.ts";
import type { WireMeta } from "./frame.ts";

/**
 * The envelope of a message from another process (its id, sender, headers and the like), for one run of a handler. The
 * members are computed on demand, because most handlers read none of them.
 */
export abstract class WireEnvelope implements Envelope {
  readonly #meta: WireMeta | undefined;
  #call: string | undefined = undefined;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  /** Time at which the message was sent; `undefined` for messages that came without a frame. See `Envelope.sentAt`. */
  readonly sentAt: number | undefined = undefined;

  /** `meta`: members of the message's meta that are not the default. */
  constructor(meta: WireMeta | undefined) {
    this.#meta = meta;
  }

  /** Returns the unique name of this run of a handler. */
  protected abstract name(): string;

  /** Returns the id of a message whose sender has given it none. */
  protected defaultId(): string {
    return this.call;
  }

  get call(): string {
    return this.#call ??= this.name();
  }

  get id(): string {
    return this.#meta?.id ?? this.defaultId();
  }

  get attempt(): number {
    return Math.max(1, this.#meta?.attempt ?? 1);
  }

  get correlation(): string | undefined {
    return this.#meta?.correlation;
  }

  get causation(): string | undefined {
    return this.#meta?.causation;
  }

  get ancestry(): readonly string[] {
    return this.#meta?.ancestry ?? [];
  }

  get headers(): Readonly<Record<string, string>> {
    const headers = this.#meta?.headers;
    if (headers === undefined) return NO_HEADERS;
    // an object without a prototype, because the names of headers come from the network
    return this.#headers ??= Object.freeze(Object.assign(Object.create(null), headers));
  }

  get key(): string | undefined {
    return this.#meta?.key;
  }

  get send(): string | undefined {
    return this.#meta?.send;
  }

  get span(): number | undefined {
    return this.#meta?.span;
  }

  get passedOn(): true | undefined {
    return this.#meta?.passedOn;
  }

  get ran(): true | undefined {
    return this.#meta?.ran;
  }
}
