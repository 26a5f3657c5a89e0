/**
 * Reads the state of NATS as one connection sees it: the store of the account, and the streams and buckets of a
 * namespace.
 */
import { printable } from "../../data/printable.ts";
import type { ServerView, StreamView } from "../../dashboard/view.ts";
import { isCatgaError } from "../../error.ts";
import { STREAM_KINDS } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { JetStream } from "../../nats/stream/jetstream.ts";
import { JetStreamRefusal, noAnswer, noJetStream } from "../../nats/stream/jetstream_refusal.ts";
import type { NatsTransport } from "../../nats/connection/transport.ts";
import { type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";
import { isForbidden } from "../../ports/transport.ts";

/**
 * Reads the state of NATS repeatedly. Remembers streams that did not answer, and streams that this user may not see.
 */
export class ServerLook {
  readonly #transport: NatsTransport;
  readonly #jetStream: JetStream;
  readonly #namespace: string;
  readonly #address: string;
  #mayNotAsk = false;
  /** Time for which an answer of the server is awaited, in ms. */
  #patience = FIRST_LOOK;
  /**
   * Number of successive looks (readings of the state) at which a copy of a stream was not current, by stream and
   * server.
   */
  readonly #behind = new Map<string, number>();
  /** Streams that this user may not see. */
  readonly #unseen = new Set<string>();
  /** Last answer about the account's store. */
  #lastRoom: ServerView["store"];
  /** Last answer about each stream, by name. */
  readonly #lastStreams = new Map<string, StreamView>();

  constructor(transport: NatsTransport, namespace: string, address: string) {
    this.#transport = transport;
    this.#jetStream = new JetStream(transport);
    this.#namespace = namespace;
    this.#address = address;
  }

  /**
   * Resolves with the state of NATS: its store, and the streams and buckets of this namespace. Rejects with a
   * `CatgaError` if the server does not answer.
   */
  async look(): Promise<ServerView> {
    const { connection, clock } = this.#transport;
    const began = clock.monotonic();
    await connection.rtt(); // the round trip is measured here, because `rtt()` returns whole ms: 0 for a server nearby
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
    // no answer about the store: it has no leader at the moment, and the answers about the streams may show the reason
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
      version: `nats-server ${printable(version)}`,
      rtt: Math.round(rtt * 10) / 10,
      store: this.#lastRoom,
      streams: streams.filter((each) => each !== undefined),
    };
  }

  /**
   * Resolves with the names of the streams of the account that mirror a stream of this namespace, and the names of the
   * mirrored ones. None where no stream answers direct gets, or if this user may not list the account's streams.
   */
  async mirrors(): Promise<ReadonlyMap<string, string>> {
    const shown = new Set(shownStreams(this.#namespace));
    const mirrors = new Map<string, string>();
    try {
      await this.#jetStream.manage(async (jsm) => {
        for await (const { config: { name, mirror, mirror_direct } } of jsm.streams.list()) {
          if (mirror !== undefined && mirror_direct && shown.has(mirror.name)) mirrors.set(name, mirror.name);
        }
      }, this.#patience);
    } catch (error) {
      if (!(error instanceof JetStreamRefusal) && !(isCatgaError(error) && isForbidden(error))) throw error;
    }
    return mirrors;
  }

  /**
   * Reads the use and the limits of the account's store. Resolves with `undefined` if this user may not ask; with a
   * refusal if the server does not answer.
   */
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

  /**
   * Reads the state of a stream. Resolves with `undefined` if it does not exist, or this user may not see it; with a
   * refusal if it does not answer.
   */
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
      // the stream's name is remembered, and not asked for again: each denial is a line in the server's log
      this.#unseen.add(name);
      return undefined;
    }
  }
}

/** Returns an error for a refusal to read `what`, which says what to do. */
export function explained(error: unknown, what: string, address: string): unknown {
  if (!(error instanceof JetStreamRefusal)) return error;
  const without = error.refusal === "no responders" || error.refusal === "disabled";
  return without ? noJetStream(address, error) : noAnswer(what, error);
}

/** Returns the names of the streams and buckets of a namespace. */
export function shownStreams(namespace: string): string[] {
  const kinds = Object.keys(BUCKETS) as BucketKind[]; // cast: the keys of `BUCKETS` are all kinds
  return [
    ...STREAM_KINDS.map((kind) => streamName(namespace, kind)),
    ...kinds.map((kind) => bucketStreamName(bucketName(namespace, kind))),
  ];
}

function isSilence(error: unknown): error is JetStreamRefusal {
  return error instanceof JetStreamRefusal && error.refusal === "no answer";
}

/** Time without news from a copy of a stream after which it counts as away, in ns; copies send news each second. */
const SILENT = 2.5e9;
/**
 * Number of successive looks (readings of the state) at which a copy was not current, after which it counts as behind.
 */
const BEHIND = 3;
/**
 * Time for which the answer of a stream, or of the account, is awaited at the first look, in ms; `doctor` judges
 * after this look.
 */
const FIRST_LOOK = 5_000;
/** Time for which an answer is awaited at later looks, in ms; meanwhile the last answer is shown. */
const LATER_LOOK = 1_000;
