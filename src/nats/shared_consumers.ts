/** The consumers that the readers of one stream share in this process: as few as their filters allow. */
import { Gate } from "../data/queues.ts";
import type { KeptStream } from "./kept_stream.ts";
import { SharedConsumer, type SharingReader } from "./shared_consumer.ts";

/**
 * How many filters a consumer has at most. To find the next message for many of them costs the server time (measured
 * with 1,500 subjects: 0.1 to 0.3 ms), while a consumer of all subjects would bring every message of the namespace to
 * every node.
 */
const MOST = 64;

/** How many readers and watches of a stream begin at a time. */
const AT_ONCE = 16;

/** How long the last sequence is not asked for again, in ms. */
const RECENT = 1_000;

/** The shared consumers of one stream. */
export class SharedConsumers {
  readonly stream: KeptStream;
  /** For readers and watches that begin. */
  readonly beginnings: Gate = new Gate(AT_ONCE);
  readonly #all = new Set<SharedConsumer>();
  #asked: { readonly at: number; readonly sequence: Promise<number> } | undefined;

  constructor(stream: KeptStream) {
    this.stream = stream;
  }

  /** The last sequence of the stream, which its leader had 1 s ago at most. Rejects as `KeptStream.attempt`. */
  lastSequence(): Promise<number> {
    const now = this.stream.transport.clock.monotonic();
    if (this.#asked === undefined || now - this.#asked.at > RECENT) {
      this.#asked = { at: now, sequence: this.stream.info().then(({ state }) => state.last_seq) };
    }
    return this.#asked.sequence;
  }

  /** The one that has most of a reader's filters. The reader has to join it at once. */
  sharedBy({ filters }: Pick<SharingReader, "filters">): SharedConsumer {
    let best: SharedConsumer | undefined;
    let most = -1;
    for (const each of this.#all) {
      const { size, common } = each.with(filters);
      if (common <= most || (size > MOST && common < filters.length)) continue;
      [best, most] = [each, common];
    }
    return best ?? this.#make();
  }

  /** One that is shared with nobody, for a reader that has to join it at once. */
  own(): SharedConsumer {
    return new SharedConsumer(this.stream, () => {});
  }

  #make(): SharedConsumer {
    const made: SharedConsumer = new SharedConsumer(this.stream, () => this.#all.delete(made));
    this.#all.add(made);
    return made;
  }
}
