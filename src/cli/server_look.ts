/** NATS itself, as one connection sees it: the store of the account, and the streams and buckets of a namespace. */
import { printable } from "../data/printable.ts";
import type { ServerView, StreamView } from "../dashboard/view.ts";
import { isCatgaError } from "../error.ts";
import { STREAM_KINDS } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import { JetStream } from "../nats/jetstream.ts";
import { JetStreamRefusal } from "../nats/jetstream_refusal.ts";
import { noAnswer, noJetStream } from "../nats/stream_errors.ts";
import type { NatsTransport } from "../nats/transport.ts";
import { type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../ports/key_value_store.ts";
import { isForbidden } from "../ports/transport.ts";

/** Looks again and again; remembers what did not answer or may not be seen. */
export class ServerLook {
  readonly #transport: NatsTransport;
  readonly #jetStream: JetStream;
  readonly #namespace: string;
  readonly #address: string;
  #mayNotAsk = false;
  /** How long an answer may take, in ms. */
  #patience = FIRST_LOOK;
  /** How many looks in a row copies were not current. */
  readonly #behind = new Map<string, number>();
  /** Streams that this user may not look at. */
  readonly #unseen = new Set<string>();
  /** The last answers of the store and of each stream. */
  #lastRoom: ServerView["store"];
  readonly #lastStreams = new Map<string, StreamView>();

  constructor(transport: NatsTransport, namespace: string, address: string) {
    this.#transport = transport;
    this.#jetStream = new JetStream(transport);
    this.#namespace = namespace;
    this.#address = address;
  }

  /**
   * NATS itself: its store, and the streams and buckets of this namespace. Rejects with a `CatgaError` if it does not
   * answer.
   */
  async look(): Promise<ServerView> {
    const { connection, clock } = this.#transport;
    const began = clock.monotonic();
    await connection.rtt(); // it returns whole ms: 0 of a server nearby
    const rtt = clock.monotonic() - began;
    const names = shownStreams(this.#namespace).filter((name) => !this.#unseen.has(name));
    const [room, ...found] = await Promise.all([
      this.#room(),
      ...names.map((name) => this.#stream(name)),
    ]).catch((error) => {
      throw explained(error, "JetStream", this.#address);
    });
    this.#patience = LATER_LOOK;
    const silent = [room, ...found].filter((one) => one instanceof JetStreamRefusal);
    if (silent.length === found.length + 1) throw silent[0];
    // between two leaders one does not answer; what the others say may be why
    if (!(room instanceof JetStreamRefusal)) this.#lastRoom = room;
    const streams = found.map((stream, i) => {
      const last = this.#lastStreams.get(names[i]);
      if (stream instanceof JetStreamRefusal) return last && { ...last, leader: "" };
      if (stream !== undefined) this.#lastStreams.set(names[i], stream);
      return stream;
    });
    const { server_name = "", server_id, version = "" } = connection.info ?? {};
    return {
      name: server_name === server_id ? this.#address : printable(server_name),
      version: printable(version),
      rtt: Math.round(rtt * 10) / 10,
      store: this.#lastRoom,
      streams: streams.filter((each) => each !== undefined),
    };
  }

  /** Use and limits of the account's store; `undefined` if this user may not ask; a refusal if nobody answers. */
  async #room(): Promise<ServerView["store"] | JetStreamRefusal> {
    if (this.#mayNotAsk) return undefined;
    try {
      const { storage, limits } = await this.#jetStream.manage((jsm) => jsm.getAccountInfo(), this.#patience);
      return { used: storage, limit: limits.max_storage };
    } catch (error) {
      if (isSilence(error)) return error;
      if (!(isCatgaError(error) && isForbidden(error))) throw error;
      this.#mayNotAsk = true;
      return undefined;
    }
  }

  /** A stream; `undefined` if there is none, or this user may not look at it; a refusal if it does not answer. */
  async #stream(name: string): Promise<StreamView | JetStreamRefusal | undefined> {
    try {
      const { config, state, cluster } = await this.#jetStream.info(name, this.#patience);
      const replicas = Number(config.num_replicas);
      const missing = (cluster?.replicas ?? []).filter(({ name: server, offline, current, active }) => {
        const place = `${name} ${server}`;
        const looks = current ? 0 : (this.#behind.get(place) ?? 0) + 1;
        this.#behind.set(place, looks);
        return offline || active > SILENT || looks >= BEHIND;
      });
      return {
        name,
        messages: state.messages,
        bytes: state.bytes,
        limit: Number(config.max_bytes),
        replicas,
        missing: missing.map((each) => printable(each.name)),
        leader: replicas > 1 ? printable(cluster?.leader ?? "") : "",
        consumers: state.consumer_count ?? 0,
      };
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      if (isSilence(error)) return error;
      if (!(isCatgaError(error) && isForbidden(error))) throw error;
      this.#unseen.add(name); // a refusal is a line in the server's log
      return undefined;
    }
  }
}

/** An error that says what to do, for a refusal to read something. */
export function explained(error: unknown, what: string, address: string): unknown {
  if (!(error instanceof JetStreamRefusal)) return error;
  const without = error.refusal === "no responders" || error.refusal === "disabled";
  return without ? noJetStream(address, error) : noAnswer(what, error);
}

/** The streams and buckets of a namespace. */
export function shownStreams(namespace: string): string[] {
  const kinds = Object.keys(BUCKETS) as BucketKind[]; // its keys are all kinds
  return [
    ...STREAM_KINDS.map((kind) => streamName(namespace, kind)),
    ...kinds.map((kind) => bucketStreamName(bucketName(namespace, kind))),
  ];
}

function isSilence(error: unknown): error is JetStreamRefusal {
  return error instanceof JetStreamRefusal && error.refusal === "no answer";
}

/** A copy that has said nothing for so long is away, in ns: they say something each second. */
const SILENT = 2.5e9;
/** How many looks in a row a copy is not current that is behind. */
const BEHIND = 3;
/**
 * How long a stream, and the account, may take to answer how it stands, in ms: the first time, after which `doctor`
 * concludes, and later, when what it has answered before is shown meanwhile.
 */
const FIRST_LOOK = 5_000;
const LATER_LOOK = 1_000;
