/**
 * The time in which this node leads a subscription: it takes over what its predecessor left open, reads the log, hands out what it
 * reads, and records how far it is. The record is the lease at the same time (`lease.ts`).
 *
 * Over 300 lines: most of it is how the parts are wired, and every way in which a term begins, goes on and ends stands in one place.
 */
import { HandledCount } from "../../dispatch/runner.ts";
import { type CatgaError, isCatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { COMMANDS, subscriptionKey } from "../format/names.ts";
import type { SubscriptionRecord } from "../format/subscription_record.ts";
import { Parking } from "../parking/parking.ts";
import { endOf } from "../format/position.ts";
import { Categories } from "./categories.ts";
import { HandingOut } from "./handing_out.ts";
import { Lease } from "./lease.ts";
import { OpenItem } from "./category.ts";
import { OpenItems } from "./open_items.ts";
import { Reading, type ReadingPlace } from "./reading.ts";
import { Recording } from "./recording.ts";
import { persist } from "./persist.ts";
import { rewound } from "./rewind.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";
import { StoredOpen } from "./stored_open.ts";
import { takeOver } from "./takeover.ts";
import type { TermEnd, TermOptions, TermState } from "./term_options.ts";
import { Warnings } from "./warnings.ts";

/** This node leads. */
export class Term {
  readonly #options: TermOptions;
  readonly #lease: Lease;
  readonly #recording: Recording;
  readonly #open = new OpenItems();
  readonly #categories: Categories;
  readonly #warnings: Warnings;
  readonly #handled: HandledCount;
  readonly #ending = new AbortController();
  #parking: Parking;
  #handing: HandingOut | undefined;
  #reading: Reading | undefined;
  /** Why it has not taken over yet; `undefined`: nothing has failed. */
  #untaken: CatgaError | undefined;
  /** Messages that were running when it began and are read only later. */
  #ahead: ReadonlyMap<number, OpenItem> = new Map();
  /** Until what the predecessor left is in hand, its record holds. */
  #recovered = false;
  /** What the last write that succeeded says of this stream. */
  #stored: Pick<ReadingPlace, "read" | "time" | "at">;
  readonly #storedOpen: StoredOpen;
  #takeovers: number;
  /** What the last leader may have begun, and how many of that are still to be read at most. */
  #doubtful: { readonly upTo: number; readonly left: number } | undefined;
  #request: SubscriptionRecord["rewind"];
  #probing = true;
  /** When a node first refused its token, by the monotonic clock. */
  #outvoted: number | undefined;
  #full = false;
  #leaving = false;
  #over = false;

  constructor(options: TermOptions) {
    this.#options = options;
    const { host, spec: { service, name }, records, record, revision, since } = options;
    const { clock } = host;
    this.#warnings = new Warnings(host, `${service}/${name}`);
    this.#handled = new HandledCount(host, this.#warnings.label);
    const fault = (error: unknown) => this.#warnings.fault("leading", error);
    this.#lease = new Lease({
      bucket: records,
      key: subscriptionKey(service, name),
      clock,
      record,
      revision,
      since,
      fault,
      onChange: (stored) => this.#merge(stored),
    });
    this.#recording = new Recording({
      lease: this.#lease,
      clock,
      record: (last) => this.#record(last ? Infinity : MOST_OPEN),
      onStored: (stored) => this.#onStored(stored),
      onDeposed: () => this.#end("deposed"),
    });
    this.#categories = new Categories(options.spec, record.began, host.timeout);
    this.#request = record.rewind;
    this.#takeovers = record.takeovers;
    const progress = record.streams[options.stream.name];
    this.#stored = progress ?? { read: 0, time: 0 };
    this.#storedOpen = new StoredOpen({
      clock,
      entries: progress?.open ?? [],
      record: () => this.#recovered ? this.#recording.write() : Promise.resolve(false),
    });
    this.#parking = new Parking({
      bucket: options.parked,
      clock,
      service,
      name,
      generation: record.generation,
      token: revision,
      most: options.mostParked,
      longest: (category) => (options.spec.categories.get(category) ?? DEFAULT_SETTINGS).delay[1],
      onRunnable: () => this.#handing?.onRunnable(),
      // a queued command that is idempotent would only be answered with the failure again
      onReplay: ({ category, id }) => service === COMMANDS ? host.forgetFailure(category, id) : Promise.resolve(),
      onRemove: (position) => this.#storedOpen.left(position),
      fault: (error) => this.#warnings.fault("parking", error),
    });
    this.refresh();
    this.#begin().catch((error) => {
      if (!this.#over) fault(error);
    });
  }

  get token(): number {
    return this.#lease.token;
  }

  get state(): TermState {
    const { retrying, dead } = this.#parking;
    const position = this.#reading?.read ?? this.#stored.read;
    const read = this.#reading?.caughtUp === true;
    const oldest = () => this.#oldest;
    return {
      ...{ open: this.#open.size, read, position, retrying, dead, stopped: this.#warnings.stopped },
      stalled: this.#reading === undefined ? this.#untaken : this.#reading.unreadable,
      get oldest() {
        return oldest(); // costs as much as there is parked
      },
    };
  }

  get #oldest(): number | undefined {
    const [open, parked] = [this.#open.first?.message.time, this.#parking.oldest];
    return open === undefined || parked === undefined ? open ?? parked : Math.min(open, parked);
  }

  /** The nodes that handle its categories may have changed. */
  refresh(): void {
    this.#categories.refresh(this.#options.nodes());
    this.#handing?.refresh(this.#categories.all);
    this.#flow();
  }

  /** The record has this revision now. */
  onRevision(revision: number): void {
    this.#recording.onRevision(revision);
  }

  /** To be called every 100 ms. */
  tick(now: number): void {
    if (this.#over) return;
    this.#recording.tick(now);
    const { holds } = this.#lease;
    // the record is its own all the same: a greater token ends that
    if (holds && this.#outvoted !== undefined && now - this.#outvoted > OUTVOTED) return this.#end("outvoted");
    if (!holds) this.#handing?.pause();
    else if (!this.#leaving && this.#recovered) this.#handing?.resume();
    if (this.#open.size === 0 && !this.#leaving) this.#reading?.skipOthers(now, this.#categories.names);
    this.#warnings.check(this.#open.first?.message, this.#options.stream.serverTime, this.#categories.all);
    if (this.#request !== undefined && this.#recovered && !this.#leaving) {
      this.#rewind(this.#request).catch((error) => this.#over || this.#warnings.fault("rewinding", error));
    }
  }

  /** Hands the lead over: nothing more is handed out, and what is in hand has `patience` ms to end. Never rejects. */
  async handOver(patience: number, end: "handed over" | "newer" = "handed over"): Promise<void> {
    if (this.#over || this.#leaving) return;
    await this.#settle(patience);
    for (let tries = 0; tries < 3 && !this.#over; tries++) {
      if (await this.#recording.write(() => ({ leader: "" }))) break;
    }
    this.#end(end);
  }

  /** Ends it without a word: the record stands still. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#handled.flush();
    this.#ending.abort();
    this.#lease.close();
    this.#reading?.close();
    this.#handing?.close();
    this.#storedOpen.close();
    this.#parking.close();
  }

  #end(end: TermEnd): void {
    if (this.#over) return;
    this.close();
    this.#options.onEnd(end);
  }

  async #begin(): Promise<void> {
    const { host, stream, record } = this.#options;
    const { items, ahead, garbage, suspects, last, lost, running } = await takeOver(this.#options, {
      token: this.token,
      parking: this.#parking,
      categories: this.#categories,
      signal: this.#ending.signal,
      fault: (error) => {
        if (isCatgaError(error)) this.#untaken = error;
        this.#warnings.fault("taking over", error);
      },
    });
    if (this.#over || this.#leaving) return;
    if (lost > 0) this.#warnings.missing(lost);
    const handing = this.#handing = new HandingOut({
      host,
      observer: host.observer,
      label: this.#warnings.label,
      token: this.token,
      open: this.#open,
      parking: this.#parking,
      running,
      suspects,
      doubt: !this.#options.handedOver,
      categoryOf: (name) => this.#categories.of(name),
      record: () => this.#recording.write(),
      outvoted: () => {
        this.#outvoted ??= host.clock.monotonic();
        this.#recording.touch();
      },
      onProgress: () => this.#progress(),
      onHandled: (category) => this.#handled.add(category),
      onStopped: (error) => {
        this.#warnings.stop(error);
        this.#flow();
      },
      fault: (error) => this.#warnings.fault("parking", error),
    });
    this.#ahead = ahead;
    for (const item of ahead.values()) handing.add(item);
    for (const item of items) {
      this.#open.push(item);
      handing.add(item);
    }
    for (const { message, reason } of garbage) this.#bury(message, reason);
    this.#recovered = true;
    if (!this.#options.handedOver) this.#doubtful = { upTo: endOf(last), left: MOST_OPEN };
    const reading = this.#reading = new Reading({
      clock: host.clock,
      stream,
      namespace: host.namespace,
      onMessages: (messages, size) => this.#take(messages, size),
      onGarbage: (message, reason) => this.#bury(message, reason),
      onNewer: ({ reason }) => {
        this.#warnings.newer(reason);
        void this.handOver(PATIENCE, "newer");
      },
      onEnd: (end, read) => {
        const beyond = this.#categories.limit(end, read);
        if (beyond.length === 0) return;
        this.#warnings.beyond(beyond);
        this.#recording.touch();
      },
      onLoss: (loss, back) => {
        if (back) this.#categories.reset();
        this.#warnings.loss(loss);
        this.#recording.touch();
      },
      settled: () => this.#open.size === 0,
      fault: (error) => this.#warnings.fault("reading", error),
    }, { created: record.streams[stream.name]?.created ?? "", ...this.#stored });
    handing.resume(record.takeovers >= CAREFUL);
    reading.follow(this.#categories.names);
    this.#flow();
  }

  /** What nobody can read is a dead letter. */
  #bury(message: LoggedMessage, reason: string): void {
    const category = this.#categories.of(message.category);
    if (category.passes(message) || this.#parking.has(message.position)) return;
    const item = new OpenItem(message, category, 0);
    this.#open.push(item);
    this.#handing!.bury(item, reason);
    this.#recording.touch();
  }

  #take(messages: readonly LoggedMessage[], size: number): void {
    const handing = this.#handing!;
    if (!this.#lease.holds) handing.pause();
    const parked = this.#parking.retrying + this.#parking.dead > 0;
    for (const message of messages) {
      const category = this.#categories.of(message.category);
      if (category.passes(message) || (parked && this.#parking.has(message.position))) continue;
      const ahead = this.#ahead.size === 0 ? undefined : this.#ahead.get(message.position);
      if (ahead !== undefined) {
        if (!ahead.over) this.#open.push(ahead);
        continue;
      }
      const item = new OpenItem(message, category, 0);
      item.size = size;
      if (this.#doubtful !== undefined) item.spared = item.doubt = this.#inDoubt(message.position);
      this.#open.push(item);
      handing.add(item);
    }
    this.#recording.touch();
    this.#flow();
  }

  /** Whether the last leader may have begun it in its last 100 ms, of which its record knows nothing. */
  #inDoubt(position: number): boolean {
    const { upTo, left } = this.#doubtful!;
    const doubt = position <= upTo && left > 0;
    this.#doubtful = doubt ? { upTo, left: left - 1 } : undefined;
    return doubt;
  }

  #progress(): void {
    this.#recording.touch();
    if (this.#full) this.#flow();
    if (this.#open.size === 0) this.#reading?.settle();
  }

  /** Reading stops while the window is full, or nothing can be parked. */
  #flow(): void {
    const { window } = this.#categories;
    const most = this.#probing ? PROBE : window;
    const part = this.#full ? 0.5 : 1; // goes on when half of it is handled
    const { size, bytes } = this.#open;
    const full = this.#warnings.stopped || size >= most * part || bytes >= MOST_BYTES * part;
    if (full === this.#full) return;
    this.#full = full;
    if (full) this.#reading?.pause();
    else this.#reading?.resume();
  }

  #onStored(record: SubscriptionRecord): void {
    const progress = record.streams[this.#options.stream.name];
    this.#stored = progress ?? this.#stored;
    this.#storedOpen.stored(progress?.open ?? []);
    this.#takeovers = record.takeovers;
    if (!this.#recovered || !this.#probing || this.#handing?.careful) return;
    this.#probing = false;
    this.#flow();
  }

  #record(most: number): SubscriptionRecord {
    const { stream, record, spec: { service, name }, host: { endpoint } } = this.#options;
    const base = {
      service,
      name,
      leader: endpoint,
      token: this.token,
      generation: record.generation,
      takeovers: this.#takeovers,
      began: this.#categories.began,
      streams: record.streams,
      ...(this.#request === undefined ? {} : { rewind: this.#request }),
    };
    const reading = this.#reading;
    if (!this.#recovered || reading === undefined) return base;
    const { created, read, time, at } = reading.place;
    const upTo = this.#open.upTo(read, most);
    const current = at !== undefined && upTo.read === read && upTo.time === undefined ? { at } : {};
    const progress = { created, read: upTo.read, time: upTo.time ?? time, open: upTo.open, ...current };
    const takeovers = this.#handing?.suspects === 0 ? 0 : this.#takeovers;
    return { ...base, takeovers, streams: { ...record.streams, [stream.name]: progress } };
  }

  /** What others wrote: categories that are new, requests. */
  #merge(stored: SubscriptionRecord): void {
    this.#request = stored.rewind;
    const added = this.#categories.add(stored.began, this.#reading?.read ?? 0);
    if (added === 0) return;
    this.refresh();
    // the categories that it read before have their floor where they are; the new ones begin no earlier than what is stored
    const reading = this.#reading;
    if (reading === undefined) return;
    const { created, read } = reading.place;
    reading.follow(this.#categories.names, this.#stored.read < read ? { created, ...this.#stored } : undefined);
    if (this.#full) reading.pause();
  }

  /** Stops, and waits until what runs has ended, for `patience` ms at most. */
  async #settle(patience: number): Promise<void> {
    this.#leaving = true;
    this.#reading?.close();
    this.#handing?.pause();
    const { clock } = this.#options.host;
    const begun = clock.monotonic();
    while (!this.#over && (this.#handing?.running ?? 0) > 0 && clock.monotonic() - begun < patience) {
      await delay(clock, STEP);
    }
  }

  async #rewind(request: NonNullable<SubscriptionRecord["rewind"]>): Promise<void> {
    await this.#settle(this.#categories.patience);
    const { record } = this.#options;
    // what was requested while runs ended counts, too
    const to = Math.min(request.to, this.#request?.to ?? Infinity, this.#reading?.read ?? 0);
    const { clock } = this.#options.host;
    const carry = () => this.#parking.carry(to, record.generation + 1);
    await persist(clock, this.#ending.signal, carry, (error) => this.#warnings.fault("rewinding", error));
    const gone = () => {
      const next = rewound(this.#record(MOST_OPEN), this.#options.stream.name, to, this.#options.nodes());
      // one that was made since then is left to the next term
      return { ...next, rewind: this.#request !== undefined && this.#request.to < to ? this.#request : undefined };
    };
    while (!this.#over && !await this.#recording.write(gone)) await delay(clock, STEP);
    if (this.#over) return;
    this.#warnings.rewound(to);
    this.#end("rewound");
  }
}

/**
 * How many open messages a record lists: all of a full window, and of a group that came with it, as what has ended behind the last one that is
 * listed would be run again by the next leader. 32 kB at most.
 */
const MOST_OPEN = 9_000;
/** How many messages are in hand before the first record, so that few come into question when one of them ends the process. */
const PROBE = 256;
/** What the messages in hand take in the log at most, in bytes. */
const MOST_BYTES = 33_554_432;
/** From so many takeovers without progress on what ran at the last one runs alone first. */
const CAREFUL = 2;
const STEP = 50; // ms
const PATIENCE = 3_000; // ms
const OUTVOTED = 3_000; // ms
