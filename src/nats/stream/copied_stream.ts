/**
 * A stream of NATS into which another stream is copied, message by message, with its sequences: each message is
 * written under the condition that the one before it is the last, so that an interrupted copy goes on where it ended,
 * and nobody else can write meanwhile without being noticed.
 */
import { CatgaError } from "../../error.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { JetStream } from "./jetstream.ts";
import { JetStreamRefusal, parseAnswer } from "./jetstream_refusal.ts";

/** A message to be written. */
export interface MessageCopy {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** State of a stream that is written by a copy. */
export interface CopiedState {
  readonly created: string;
  readonly first: number;
  readonly last: number;
  readonly messages: number;
  readonly replicas: number;
}

/** A stream as the copy writes it. */
export class StreamCopy {
  readonly name: string;
  readonly #transport: NatsTransport;
  readonly #js: JetStream;
  /** Answers that are awaited. */
  readonly #pending = new Set<Promise<void>>();
  #failure: unknown;

  constructor(transport: NatsTransport, name: string) {
    this.#transport = transport;
    this.#js = new JetStream(transport);
    this.name = name;
  }

  /** Resolves with the state of the stream; `undefined`: it does not exist. */
  async state(): Promise<CopiedState | undefined> {
    try {
      const { created, config, state } = await this.#js.info(this.name, LIMIT);
      const { first_seq: first, last_seq: last, messages } = state;
      return { created, first, last, messages, replicas: Number(config.num_replicas) };
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      throw error;
    }
  }

  /** Makes the stream, whose first message gets the sequence `first`. */
  async make(settings: Readonly<Record<string, unknown>>, first: number): Promise<void> {
    await this.#js.createStream({ ...settings, name: this.name, first_seq: first }, LIMIT);
  }

  /** Removes the stream with everything in it. */
  async remove(): Promise<void> {
    await this.#js.manage((jsm) => jsm.streams.delete(this.name), LIMIT);
  }

  /** Removes the messages of a subject. */
  async purge(subject: string): Promise<void> {
    await this.#js.manage((jsm) => jsm.streams.purge(this.name, { filter: subject }), PURGE_LIMIT);
  }

  /**
   * Writes a message behind the one with the sequence before, or, without `isNext`, at the end. Resolves when few
   * enough answers are awaited; rejects with the error of an earlier message.
   */
  async write({ sequence, subject, data, headers }: MessageCopy, isNext = true): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const made = this.#transport.driver.headers();
    for (const [name, value] of Object.entries(headers)) made.set(name, value);
    if (isNext) made.set("Nats-Expected-Last-Sequence", `${sequence - 1}`);
    const answered: Promise<void> = this.#js.request(subject, data, made, LIMIT).then((answer) => {
      const { seq, duplicate } = parseAnswer(answer) as { readonly seq?: number; readonly duplicate?: boolean };
      if (isNext && (seq !== sequence || duplicate)) throw new Error(`it got the sequence ${seq}`);
    }).catch((cause) => {
      const why = (cause as Error).message;
      const message = `the message ${sequence} could not be written to the stream ${this.name}: ${why}. ` +
        "If nobody else writes into that namespace, run the command again: it goes on from there";
      this.#failure ??= new CatgaError("UNAVAILABLE", message, { cause, retryable: true });
    }).finally(() => this.#pending.delete(answered));
    this.#pending.add(answered);
    if (this.#pending.size >= AT_ONCE) await Promise.race(this.#pending);
  }

  /** Resolves when all messages are stored. Rejects with the error of one that is not. */
  async written(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Number of answers that are awaited at once. */
const AT_ONCE = 512;
/** Time for which an answer of the server is awaited, in ms. */
const LIMIT = 10_000;
/** Time for which the answer to a purge is awaited, in ms. */
const PURGE_LIMIT = 120_000;
