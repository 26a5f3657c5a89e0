/**
 * The envelope of a message that came over the wire. Its members are computed on demand: most handlers read none of
 * them.
 */
import { NO_HEADERS } from "../../dispatch/carried_headers.ts";
import type { Envelope } from "../../dispatch/context_host.ts";
import type { WireMeta } from "./frame.ts";

/** The envelope of one run of a handler. */
export abstract class WireEnvelope implements Envelope {
  readonly #meta: WireMeta | undefined;
  #call: string | undefined = undefined;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  /** Like `Envelope.sentAt`; `undefined` for messages that came without a frame. */
  readonly sentAt: number | undefined = undefined;

  /** `meta`: the members of the message's meta that are not default. */
  constructor(meta: WireMeta | undefined) {
    this.#meta = meta;
  }

  /** Returns the name of this run, different from the names of all others. */
  protected abstract name(): string;

  /** Returns the message id, if the sender set none. */
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
    // without a prototype: the names come from the wire
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
}
