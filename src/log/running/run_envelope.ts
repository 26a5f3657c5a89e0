/** The envelope (id, times, headers) of a message of the log, which the context of its handlers shows. */
import type { Envelope } from "../../dispatch/context_host.ts";
import { headersOf, type LoggedMeta } from "../format/logged_message.ts";

/** The message, or the batch, for which a {@link RunEnvelope} is made. */
export interface Logged {
  readonly id: string;
  readonly attempt: number;
  /** Position of the message in the log; `undefined` for a batch. */
  readonly position: number | undefined;
  readonly key: string | undefined;
  readonly meta: LoggedMeta | null | undefined;
  /** Token of the leader that has sent the message; `undefined` for read models, which have no leader. */
  readonly fence: number | undefined;
  /** Time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly storedAt?: number;
  /** Label of the subscription, `<service>/<name>`; absent for read models, which are no subscription of a service. */
  readonly subscription?: string;
}

/**
 * Identity of a run in the envelope of its message. `call`: id of the run, made only when it is read. `dueAt`, in
 * requests of leaders only: the deadline until which the leader waits.
 */
export interface RunOf {
  readonly envelope: { readonly call: string };
  dueAt?(now: number): number;
}

/**
 * The envelope of a message from the log, for the context of its handler. The object is kept small: one is made for
 * each run.
 * @decides `ctx.id`, `ctx.attempt`, `ctx.position` and headers of a handler of the log
 */
export class RunEnvelope implements Envelope {
  readonly id: string;
  readonly attempt: number;
  readonly position: number | undefined;
  readonly key: string | undefined;
  readonly fence: number | undefined;
  readonly storedAt: number | undefined;
  readonly subscription: string | undefined;
  readonly #meta: LoggedMeta | null | undefined;
  readonly #run: RunOf;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  constructor({ id, attempt, position, key, meta, fence, storedAt, subscription }: Logged, run: RunOf) {
    this.id = id;
    this.attempt = attempt;
    this.position = position;
    this.key = key;
    this.fence = fence;
    this.storedAt = storedAt;
    this.subscription = subscription;
    this.#meta = meta;
    this.#run = run;
  }

  get call(): string {
    return this.#run.envelope.call;
  }

  senderWaits(now: number): number | undefined {
    return this.#run.dueAt?.(now);
  }

  get due(): number | undefined {
    return this.#meta?.d;
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

const NO_ANCESTRY: readonly string[] = Object.freeze([]);
