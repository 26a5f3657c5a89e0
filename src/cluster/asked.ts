/** A request of another process: where it stands there, and what came with it, made when somebody asks. */
import { type Envelope, NO_HEADERS } from "../context.ts";
import type { WireMeta } from "./frame.ts";
import type { Peer } from "./peer.ts";

/** A request that came in a frame. Most handlers ask for nothing of its envelope. */
export class Asked implements Envelope {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
  /** The contract's. */
  readonly name: string;
  readonly #meta: WireMeta | undefined;
  #call: string | undefined = undefined;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  /** The request at this place among those of the frame. */
  constructor(peer: Peer, seq: number, index: number, name: string, meta: WireMeta | undefined) {
    this.peer = peer;
    this.seq = seq;
    this.index = index;
    this.name = name;
    this.#meta = meta;
  }

  get call(): string {
    return this.#call ??= `${this.peer.theirCalls}${this.seq}.${this.index}`;
  }

  get id(): string {
    return this.#meta?.id ?? this.call;
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
    // without a prototype: what stands there came over the wire
    return this.#headers ??= Object.freeze(Object.assign(Object.create(null), headers));
  }

  get key(): string | undefined {
    return this.#meta?.key;
  }
}
