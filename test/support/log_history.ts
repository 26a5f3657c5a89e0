/**
 * The checker of the log: reads what publishers and handlers wrote down, line by line, and says which promises were
 * broken.
 */
import type { LogLine } from "../processes/log_messages.ts";

/** Options of {@link LogHistory}. */
export interface LogHistoryOptions {
  /** How long before a fault something may have ended and yet be repeated, in ms; {@link MARGIN}. */
  readonly margin?: number;
  /** How many attempts a message has; 10. */
  readonly attempts?: number;
  /**
   * True if each message has one effect for a subscription: of handlers that use `ctx.id` as a unique key. Default:
   * `true`.
   */
  readonly oneEffect?: boolean;
  /** How many of the same group of a subscription run at once at most, over all processes. Default: any number. */
  readonly running?: Readonly<Record<string, RunningLimit>>;
  /** Subscriptions that may skip messages also between attempts: what follows need not wait for one that failed. */
  readonly skipping?: readonly string[];
}

/** How many of a group run at once at most. */
export interface RunningLimit {
  readonly most: number;
  /** The group of an entry. */
  of(entry: string): string;
}

/** A leader writes down every 100 ms what has ended; the rest is what a busy machine adds. */
export const MARGIN = 5_000;

/**
 * How long after the death, or the freeze, of a leader what ends may be repeated, in ms: others take over after 3 to 5
 * s.
 */
const TAKEOVER = 7_000;
/** And after the fault of a server: they take over when it is back, and has elected a leader. */
const ELECTION = 20_000;

/** What was published, as far as it is known. */
interface Published {
  readonly by: string;
  readonly category: string;
  readonly key: string | undefined;
  readonly seq: number;
  readonly recurring: boolean;
  came: "ok" | "failed" | "unknown" | undefined;
  /** Where it was seen to stand in the log. */
  position: number | undefined;
  /** It was being published when the log was lost: it may stand at one more position, in the log made since. */
  mayMove: boolean;
}

/** A message, as a subscription has it. */
interface Handled {
  readonly entry: string;
  position: number;
  /** When it was first handled to its end, in ms since 1970. */
  effective: number | undefined;
  /** The run that did so. */
  by: Run | undefined;
  /** The attempt that failed last, and when. */
  failed: { attempt: number; at: number } | undefined;
  effects: number;
  runs: number;
  discarded: boolean;
}

/** A run that goes on. */
interface Run {
  readonly pid: number;
  readonly sub: string;
  readonly order: string | undefined;
  readonly message: Handled;
  readonly attempt: number;
  readonly fence: number;
  /** Its process was stopped since it began. */
  stood: boolean;
  /** The runs of its group, if they are limited; it leaves them when it ends, or its process is gone. */
  readonly group: Set<Run> | undefined;
}

/** The messages of one key, category and subscription. */
interface Order {
  /** The greatest position that has begun. */
  greatest: number;
  /** Those that have begun, and were neither handled to their end nor discarded. */
  readonly waiting: Map<number, Handled>;
  /** Runs that go on in processes that were not killed or stopped meanwhile. */
  readonly running: Set<Run>;
}

/** True if this leader need not have heard of the end: the process that ran it was stopped until a later one led. */
function mayBeUnheard({ by }: Handled, leader: number): boolean {
  return by !== undefined && by.stood && leader > by.fence;
}

/** The history of a test. Lines are taken in the order of their file, which is that of what happened. */
export class LogHistory {
  readonly #margin: number;
  readonly #attempts: number;
  readonly #oneEffect: boolean;
  readonly #limits: NonNullable<LogHistoryOptions["running"]>;
  readonly #skipping: ReadonlySet<string>;
  /** Runs that go on, by subscription and group of its limit. */
  readonly #groups = new Map<string, Set<Run>>();
  readonly #published = new Map<string, Published>();
  readonly #handled = new Map<string, Map<string, Handled>>();
  readonly #orders = new Map<string, Order>();
  readonly #runs = new Map<string, Run>();
  readonly #rewound = new Set<string>();
  readonly #violations: string[] = [];
  /** What may be a violation: unless there was a fault around the time when this had ended. */
  readonly #suspicions: { readonly text: string; readonly ended: number; readonly holdsOverCrashes?: boolean }[] = [];
  /** Faults, in ms since 1970: from when to when; and whether nothing but a crash is behind it. */
  readonly #faults: { readonly from: number; readonly to: number; readonly isCrash?: boolean }[] = [];
  /**
   * Processes that were killed, or frozen and did not go on: the note of it stands before the signal, and they may
   * still begin something.
   */
  readonly #down = new Set<number>();
  /** When a process was frozen last. */
  readonly #frozen = new Map<number, number>();
  /** Processes that went on, and have written down nothing since. */
  readonly #resumed = new Set<number>();
  #begun = 0;
  #repeated = 0;
  #ok = 0;

  constructor(
    { margin = MARGIN, attempts = 10, oneEffect = true, running = {}, skipping = [] }: LogHistoryOptions = {},
  ) {
    this.#margin = margin;
    this.#attempts = attempts;
    this.#oneEffect = oneEffect;
    this.#limits = running;
    this.#skipping = new Set(skipping);
  }

  /** What was wrong in the lines until now: a line each. */
  get violations(): readonly string[] {
    // a process that stood still says so when it goes on, and others have taken over before
    const repeats = this.#suspicions.filter(({ ended, holdsOverCrashes }) => !this.#mayRepeat(ended, holdsOverCrashes));
    return [...this.#violations, ...repeats.map(({ text }) => text)];
  }

  /** How many messages were stored, runs began, and runs repeated what had been handled. */
  get sums(): { readonly ok: number; readonly runs: number; readonly repeats: number } {
    return { ok: this.#ok, runs: this.#begun, repeats: this.#repeated };
  }

  /** The entries that were told to be stored: of a category, or all. */
  stored(category?: string): string[] {
    return [...this.#published].flatMap(([entry, it]) =>
      it.came === "ok" && (category === undefined || it.category === category) ? [entry] : []
    );
  }

  /** What came of an entry, by its publisher. */
  cameOf(entry: string): "ok" | "failed" | "unknown" | undefined {
    return this.#published.get(entry)?.came;
  }

  /** All that was intended. */
  get intended(): ReadonlyMap<string, Intended> {
    return this.#published;
  }

  /** Returns true if a subscription has handled an entry to its end. */
  isHandled(sub: string, entry: string): boolean {
    return this.#handled.get(sub)?.get(entry)?.effective !== undefined;
  }

  /** The entries that a subscription has handled to their end, in the order of the log. */
  handled(sub: string): string[] {
    const all = [...this.#handled.get(sub)?.values() ?? []].filter(({ effective }) => effective !== undefined);
    return all.sort((a, b) => a.position - b.position).map(({ entry }) => entry);
  }

  /** The entry that stands last in the log of those that fit and that some subscription has begun. */
  newest(fits: (entry: string) => boolean): string | undefined {
    let [newest, last]: [string | undefined, number] = [undefined, -1];
    for (const [entry, { position = -1 }] of this.#published) {
      if (position > last && fits(entry)) [newest, last] = [entry, position];
    }
    return newest;
  }

  /** How often a handler of a subscription has begun with an entry, and had its effect. */
  countOf(sub: string, entry: string): { readonly runs: number; readonly effects: number } {
    const { runs = 0, effects = 0 } = this.#handled.get(sub)?.get(entry) ?? {};
    return { runs, effects };
  }

  /** What was stored and not handled (nor discarded) by a subscription: one that handles these categories, or all. */
  missing(sub: string, categories?: readonly string[]): string[] {
    const handled = this.#handled.get(sub);
    return [...this.#published].flatMap(([entry, { came, category }]) =>
      came === "ok" && (categories?.includes(category) ?? true) && !isDone(handled?.get(entry)) ? [entry] : []
    );
  }

  /** Takes a line. */
  take(line: LogLine): void {
    switch (line.event) {
      case "intent":
        if (this.#published.has(line.entry)) this.#wrong(`${line.entry}: the test publishes it twice`);
        this.#published.set(line.entry, {
          by: line.by,
          category: line.category,
          key: line.key,
          seq: line.seq,
          recurring: line.recurring ?? false,
          came: undefined,
          position: undefined,
          mayMove: false,
        });
        return;
      case "ok":
        this.#ok++;
      // falls through
      case "failed":
      case "unknown":
        this.#published.get(line.entry)!.came = line.event;
        if (line.event === "failed" && this.#published.get(line.entry)!.position !== undefined) {
          this.#wrong(`${line.entry}: its publisher was told that it is not stored, and it was handled`);
        }
        return;
      case "begin":
        return this.#begin(line);
      case "effect": {
        const message = this.#handled.get(line.sub)?.get(line.entry);
        if (message === undefined) return; // its begin was a violation
        if (++message.effects > 1 && this.#oneEffect && !this.#published.get(line.entry)!.recurring) {
          this.#wrong(`${line.sub} ${line.entry}: ${message.effects} effects`);
        }
        return;
      }
      case "end":
        return this.#end(line);
      case "killed":
      case "frozen":
        if (line.event === "frozen") this.#frozen.set(line.pid, line.at);
        this.#down.add(line.pid);
        this.#faults.push({ from: line.at, to: line.at + TAKEOVER, isCrash: line.event === "killed" });
        // what it is at can be taken over: it may never end, or end when others have gone on
        for (const run of this.#runs.values()) {
          if (run.pid !== line.pid) continue;
          run.stood = true;
          run.group?.delete(run);
          if (run.order !== undefined) this.#orders.get(run.order)!.running.delete(run);
        }
        return;
      case "thawed":
        // others lead: it may finish what it has begun or was about to begin, and nothing else
        this.#resumed.add(line.pid);
      // falls through
      case "reachable":
        this.#down.delete(line.pid);
        return;
      case "fault":
        this.#faults.push({ from: line.at, to: line.at + ELECTION });
        return;
      case "stalled":
        // that it was frozen is known already
        if ((this.#frozen.get(line.pid) ?? -Infinity) >= line.from - 1_000) return;
        this.#faults.push({ from: line.from, to: line.at + TAKEOVER });
        return;
      case "discarded": {
        const message = this.#handled.get(line.sub)?.get(line.entry);
        if (message === undefined) return;
        message.discarded = true;
        this.#orderOf(line.sub, line.entry)?.waiting.delete(message.position);
        return;
      }
      case "replayed": {
        const message = this.#handled.get(line.sub)?.get(line.entry);
        if (message !== undefined) message.failed = undefined;
        return;
      }
      case "rewound":
        this.#rewound.add(line.sub);
        this.#orders.forEach((order, name) => {
          if (name.startsWith(`${line.sub} `)) order.greatest = -1, order.waiting.clear();
        });
        return;
      case "lost":
        for (const published of this.#published.values()) published.mayMove ||= published.came === undefined;
    }
  }

  #begin(line: Extract<LogLine, { event: "begin" }>): void {
    const { sub, entry, key, category, seq, position, attempt, fence, run, pid, at } = line;
    this.#begun++;
    const published = this.#published.get(entry);
    const name = `${sub} ${entry}`;
    if (published === undefined) return this.#wrong(`${name}: handled, and was never published`);
    if (published.category !== category || published.key !== key || published.seq !== seq) {
      this.#wrong(
        `${name}: handled as ${category} ${key} ${seq}, published as ${published.category} ${published.key} ${published.seq}`,
      );
    }
    if (published.came === "failed") {
      this.#wrong(`${name}: handled, and its publisher was told that it is not stored`);
    }
    if (!published.recurring && published.position !== undefined && published.position !== position) {
      if (!published.mayMove) this.#wrong(`${name}: stands at two positions, ${published.position} and ${position}`);
      published.mayMove = false;
    }
    published.position = position;
    let of = this.#handled.get(sub);
    if (of === undefined) this.#handled.set(sub, of = new Map());
    let message = of.get(entry);
    const fresh = message === undefined;
    if (message === undefined) {
      of.set(
        entry,
        message = {
          ...{ entry, position, effective: undefined, by: undefined, failed: undefined },
          ...{ effects: 0, runs: 0, discarded: false },
        },
      );
    } else if (!published.recurring) message.position = position;
    message.runs++;
    // its process was stopped between the last look at who leads and the handler's first line, or as that was written
    const late = this.#resumed.delete(pid);
    if (attempt > this.#attempts) this.#wrong(`${name}: attempt ${attempt} of ${this.#attempts}`);
    if (published.recurring) message.effective = undefined;
    if (message.effective !== undefined) {
      this.#repeated++;
      const { effective, by } = message;
      const [first, again] = [by!, { pid, fence }].map(({ pid, fence }) => `by process ${pid} for leader ${fence}`);
      const text = `${name}: handled ${first}, and again ${at - effective} ms later, without a fault since, ${again}`;
      if (!late && !this.#rewound.has(sub) && !mayBeUnheard(message, fence)) {
        this.#suspicions.push({ text, ended: Math.min(at, message.effective) });
      }
    } else if (message.failed !== undefined && attempt <= message.failed.attempt) {
      const text = `${name}: attempt ${attempt} after attempt ${message.failed.attempt} had failed`;
      if (!late && !this.#rewound.has(sub)) this.#suspicions.push({ text, ended: message.failed.at });
    }
    const order = key === undefined || late ? undefined : `${sub} ${category} ${key}`;
    const stood = late || this.#down.has(pid);
    const group = stood ? undefined : this.#groupOf(sub, entry);
    const one: Run = { pid, sub, order, message, attempt, fence, stood, group };
    this.#runs.set(run, one);
    if (group !== undefined && group.add(one).size > this.#limits[sub].most) {
      const others = [...group].map(({ message: { entry }, pid }) => `${entry} in process ${pid}`).join(", ");
      const text = `${name}: one more runs at once than ${this.#limits[sub].most}: ${others}`;
      this.#suspicions.push({ text, ended: at, holdsOverCrashes: true });
    }
    if (order !== undefined) this.#beginInOrder(order, one, fresh);
  }

  #beginInOrder(name: string, run: Run, fresh: boolean): void {
    let order = this.#orders.get(name);
    if (order === undefined) this.#orders.set(name, order = { greatest: -1, waiting: new Map(), running: new Set() });
    const { message } = run;
    const { entry, position } = message;
    const skips = this.#skipping.has(run.sub);
    // one that was skipped may run behind a crash, before those after it run again
    if (fresh && position < order.greatest && !skips) {
      this.#wrong(`${name} ${entry}: was overtaken by a later one of its key`);
    }
    for (const earlier of skips ? [] : order.waiting.values()) {
      if (earlier.position < position) this.#wrong(`${name} ${entry}: begun before ${earlier.entry} had been handled`);
    }
    for (const other of order.running) this.#wrong(`${name} ${entry}: runs beside ${other.message.entry}`);
    order.greatest = Math.max(order.greatest, position);
    if (message.effective === undefined) order.waiting.set(position, message);
    if (!this.#down.has(run.pid)) order.running.add(run);
  }

  #end({ run: name, how, at }: Extract<LogLine, { event: "end" }>): void {
    const run = this.#runs.get(name);
    if (run === undefined) return; // its begin was a violation
    this.#runs.delete(name);
    this.#resumed.delete(run.pid);
    run.group?.delete(run);
    const { message, attempt } = run;
    const order = run.order === undefined ? undefined : this.#orders.get(run.order)!;
    order?.running.delete(run);
    if (how === "ok") {
      if (message.effective === undefined || mayBeUnheard(message, run.fence)) {
        message.effective = at;
        message.by = run;
      }
      order?.waiting.delete(message.position);
    } else if (how === "failed") message.failed = { attempt, at };
  }

  /**
   * Returns true if what ended then may be repeated: a fault followed within the margin, or had just been. Crashes do
   * not excuse what `holdsOverCrashes`.
   */
  #mayRepeat(ended: number, holdsOverCrashes = false): boolean {
    return this.#faults.some(({ from, to, isCrash = false }) =>
      !(isCrash && holdsOverCrashes) && ended >= from - this.#margin && ended <= to
    );
  }

  #groupOf(sub: string, entry: string): Set<Run> | undefined {
    if (this.#limits[sub] === undefined) return undefined;
    const name = `${sub} ${this.#limits[sub].of(entry)}`;
    const known = this.#groups.get(name) ?? new Set();
    this.#groups.set(name, known);
    return known;
  }

  #orderOf(sub: string, entry: string): Order | undefined {
    const published = this.#published.get(entry);
    return published && this.#orders.get(`${sub} ${published.category} ${published.key}`);
  }

  /** What can be said at the end: of each publisher and key, what was stored stands in the order of its publishing. */
  orderViolations(): string[] {
    const last = new Map<string, { entry: string; position: number }>();
    const wrong: string[] = [];
    for (const [entry, { by, category, key, came, position }] of this.#published) {
      if (came !== "ok" || key === undefined || position === undefined) continue;
      const name = `${by} ${category} ${key}`;
      const before = last.get(name);
      if (before !== undefined && before.position >= position) {
        wrong.push(`${name}: ${entry} stands before ${before.entry}`);
      }
      last.set(name, { entry, position });
    }
    return wrong;
  }

  #wrong(text: string): void {
    this.#violations.push(text);
  }
}

/** Returns true if a subscription is done with a message. */
function isDone(message: Handled | undefined): boolean {
  return message !== undefined && (message.effective !== undefined || message.discarded);
}

/** A message that a publisher was about to publish, for {@link streamViolations}. */
export interface Intended {
  readonly by: string;
  readonly category: string;
  readonly key: string | undefined;
  readonly seq: number;
  readonly recurring: boolean;
  readonly came: "ok" | "failed" | "unknown" | undefined;
}

/**
 * What is wrong with the log itself, by the entries in it: every `ok` is there once, nothing twice, nothing that was
 * refused, and each publisher's of one key in the order of their publishing.
 */
export function streamViolations(
  intended: ReadonlyMap<string, Intended>,
  entries: readonly string[],
): string[] {
  const times = new Map<string, number>();
  for (const entry of entries) times.set(entry, (times.get(entry) ?? 0) + 1);
  const wrong: string[] = [];
  for (const [entry, count] of times) {
    if (!intended.has(entry)) wrong.push(`${entry}: in the log, and never published`);
    if (count > 1 && intended.get(entry)?.recurring !== true) wrong.push(`${entry}: ${count} times in the log`);
  }
  const last = new Map<string, { entry: string; seq: number }>();
  for (const entry of entries) {
    const { by, category, key, seq, came } = intended.get(entry) ?? {};
    if (came !== "ok" || key === undefined || seq === undefined) continue;
    const name = `${by} ${category} ${key}`;
    const before = last.get(name);
    if (before !== undefined && before.seq > seq) wrong.push(`${name}: ${before.entry} stands before ${entry}`);
    last.set(name, { entry, seq });
  }
  for (const [entry, { came }] of intended) {
    if (came === "ok" && !times.has(entry)) wrong.push(`${entry}: ok, and not in the log`);
    if (came === "failed" && times.has(entry)) wrong.push(`${entry}: refused, and in the log`);
  }
  return wrong;
}
