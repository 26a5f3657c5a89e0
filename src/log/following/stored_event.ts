/** A durable event as its followers receive it. */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { FollowedEvent } from "../../contract/calls/durable_messages.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import { freezePlain } from "../../data/checks.ts";
import { decodeText } from "../../data/encoding.ts";
import { parsePayload } from "../../dispatch/message_schema.ts";
import { CatgaError } from "../../error.ts";
import { headersOf, type LoggedMessage, timesOf } from "../format/logged_message.ts";

/** A stored event. Its payload is decoded and parsed once for all followers, when the first follower asks for it. */
export class StoredEvent {
  readonly #contract: AnyContract;
  readonly #logged: LoggedMessage;
  readonly #refused: (error: CatgaError) => void;
  #made: MaybePromise<FollowedEvent<unknown> | CatgaError> | undefined;

  /** `refused`: called with the error if the event cannot be read. */
  constructor(contract: AnyContract, logged: LoggedMessage, refused: (error: CatgaError) => void) {
    this.#contract = contract;
    this.#logged = logged;
    this.#refused = refused;
  }

  get position(): number {
    return this.#logged.position;
  }

  get key(): string | undefined {
    return this.#logged.key;
  }

  /** The event as all followers receive it, a frozen object; an error: why the event cannot be read. */
  get event(): MaybePromise<FollowedEvent<unknown> | CatgaError> {
    return this.#made ??= this.#make();
  }

  #make(): MaybePromise<FollowedEvent<unknown> | CatgaError> {
    const { payload, tagged } = this.#logged;
    let decoded: unknown;
    try {
      decoded = tagged ? decodeText(payload as string) : payload; // a payload marked as tagged is a string
    } catch (cause) {
      return this.#unreadable(new CatgaError("INVALID_MESSAGE", "its payload cannot be decoded", { cause }));
    }
    const parsed = parsePayload(this.#contract, decoded);
    const made = (result: Awaited<typeof parsed>) => {
      if (!result.ok) return this.#unreadable(result.error);
      const { position, id, key, time, meta } = this.#logged;
      const { stored, due } = timesOf(time, meta);
      const times = { stored: Object.freeze(stored), due: due && Object.freeze(due) };
      const payload = freezePlain(result.value);
      return Object.freeze({ position, id, key, payload, ...times, headers: headersOf(meta) });
    };
    return parsed instanceof Promise ? parsed.then(made) : made(parsed);
  }

  #unreadable(cause: CatgaError): CatgaError {
    const { position } = this.#logged;
    const message = `event ${this.#contract.name} at position ${position} cannot be read here: ${cause.message}; ` +
      `follow from ${position} to pass it over`;
    const error = new CatgaError("INVALID_MESSAGE", message, { details: { position, issues: cause.details }, cause });
    this.#refused(error);
    return error;
  }
}
