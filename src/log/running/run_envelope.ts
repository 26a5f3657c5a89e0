/** Envelope of a message of the log for its handler's context, made of a leader's request. */
import { type Envelope, NO_HEADERS } from "../../dispatch/context_host.ts";
import type { LoggedMeta } from "../format/logged_message.ts";

/** Source of an envelope. */
export interface Logged {
  readonly id: string;
  readonly attempt: number;
  /** `undefined` for a batch. */
  readonly position: number | undefined;
  readonly key: string | undefined;
  readonly meta: LoggedMeta | null | undefined;
  /** The leader's token; `undefined` for read models, which have no leader. */
  readonly fence: number | undefined;
  /** As `Envelope.storedAt`. */
  readonly storedAt?: number;
}

/** The envelope of a message of the log. Small: one is made for each run. */
export class RunEnvelope implements Envelope {
  readonly id: string;
  readonly attempt: number;
  readonly position: number | undefined;
  readonly key: string | undefined;
  readonly fence: number | undefined;
  readonly storedAt: number | undefined;
  readonly #meta: LoggedMeta | null | undefined;
  readonly #run: { readonly call: string };
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  /** `run`: identifies the run, read when that is first needed. */
  constructor({ id, attempt, position, key, meta, fence, storedAt }: Logged, run: { readonly call: string }) {
    this.id = id;
    this.attempt = attempt;
    this.position = position;
    this.key = key;
    this.fence = fence;
    this.storedAt = storedAt;
    this.#meta = meta;
    this.#run = run;
  }

  get call(): string {
    return this.#run.call;
  }

  get correlation(): string | undefined {
    return this.#meta?.c;
  }

  get causation(): string | undefined {
    return this.#meta?.a;
  }

  get ancestry(): readonly string[] {
    return NO_ANCESTRY;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#headers ??= headersOf(this.#meta);
  }
}

/** The headers of a message. */
export function headersOf(meta: LoggedMeta | null | undefined): Readonly<Record<string, string>> {
  return meta?.h === undefined ? NO_HEADERS : Object.freeze(Object.assign(Object.create(null), meta.h));
}

const NO_ANCESTRY: readonly string[] = Object.freeze([]);
