/**
 * Runs the commands of entities in rounds (handlers are called, then their events are stored) with optimistic
 * concurrency. The events of a command are stored only if no message of the entity was stored since the entity was
 * read; otherwise the newer messages are read, and the command's handler is called again. An append without an answer
 * is repeated with the same bytes; the handler is called again only when the stream's leader has newer messages of the
 * entity, and the repeated message is not among them. So a command is applied once, or certainly not, or its sender
 * gets `OUTCOME_UNKNOWN`.
 *
 * Commands that wait while another command of their entity is being stored are handled together, each on the state
 * after the command before it, and their events are stored in one message, if their handlers return at once. A command
 * without events gets its result once this message is stored, or, if nothing is stored for any of them, once the entity
 * was read again and is unchanged.
 */
import type { EntityDefinition } from "../contract/declaration/entity_definition.ts";
import type { EntityBody } from "../contract/declaration/handler.ts";
import { CatgaError, unavailable } from "../error.ts";
import {
  type EntityCommand,
  entityGroupText,
  markOf,
  readEntityMessage,
  shapesText,
} from "../log/format/entity_group.ts";
import { MAX_ITEMS_IN_GROUP } from "../log/format/group_text.ts";
import { delay } from "../ports/clock.ts";
import type { Appended, AppendReceiver, ConditionalAppend, StoredMessage } from "../ports/event_log.ts";
import type { CommandDecision, PendingCommand, VersionedState } from "./command.ts";
import type { EntityCopy } from "./entity_copy.ts";
import type { WarmCopies } from "./warm_copies.ts";
import type { EntityStream } from "./entity_stream.ts";
import type { EntitiesHost } from "./snapshots.ts";
import { type FoundCommand, foundIn, type StoredCommands } from "./stored_commands.ts";
import { Turns } from "./turns.ts";

/** Dependencies of {@link OptimisticAppends}, which run the commands of entities, on their node. */
export interface OptimisticAppendsOptions {
  readonly host: EntitiesHost;
  readonly stream: EntityStream;
  readonly commands: StoredCommands;
  readonly warm: WarmCopies;
  /** Reserves `events` consecutive numbers among the numbers of all events of this process; returns the first. */
  number(events: number): number;
  /** Called when the copy of an entity in memory has changed. */
  changed(subject: string, copy: EntityCopy<unknown>, now: number): void;
}

/**
 * A command and its handler's decision. It is a class, not a literal, so that V8 can free it early: V8 keeps literals
 * for longer (`CommandDecision`).
 */
class AppendedCommand {
  readonly command: PendingCommand;
  readonly decided: CommandDecision;

  constructor(command: PendingCommand, decided: CommandDecision) {
    this.command = command;
    this.decided = decided;
  }
}

type AppendCallback = (message: MessageAppend, appended: Appended, now: number) => void;

/**
 * One message that is being appended, with its commands. It is a class, not a literal, so that V8 can free it early: V8
 * keeps literals for longer (`CommandDecision`).
 */
class MessageAppend implements AppendReceiver {
  readonly entries: readonly AppendedCommand[];
  /** The copy of the entity on which the commands were decided. */
  readonly copy: EntityCopy<unknown>;
  readonly text: string;
  readonly mark: string;
  /** Number of attempts so far to append the message. */
  tries = 0;
  readonly #answered: AppendCallback;

  constructor(
    entries: readonly AppendedCommand[],
    copy: EntityCopy<unknown>,
    { text, mark }: { readonly text: string; readonly mark: string },
    answered: AppendCallback,
  ) {
    this.entries = entries;
    this.copy = copy;
    this.text = text;
    this.mark = mark;
    this.#answered = answered;
  }

  appended(appended: Appended, now: number): void {
    this.#answered(this, appended, now);
  }
}

/** Runs the commands of all entities of a node. */
export class OptimisticAppends {
  readonly #options: OptimisticAppendsOptions;
  readonly #turns: Turns<PendingCommand>;
  /** Handlers that returned at once when they last ran. */
  readonly #immediate = new WeakSet<EntityBody>();

  constructor(options: OptimisticAppendsOptions) {
    this.#options = options;
    this.#turns = new Turns(options.host.clock);
  }

  /** Cancels the timer for the deadlines of waiting commands, if no command waits. */
  stopIfIdle(): void {
    this.#turns.stopIfIdle();
  }

  /** Runs a command at once, or queues it after the earlier commands of its entity. Its sender gets the outcome. */
  begin(command: PendingCommand): void {
    if (!this.#turns.take(command.subject, command)) {
      command.ctx.execution.stage = "turn";
      command.keepContext();
    } else if (command.beginUnlessAborted()) this.#start(command, command.arrived);
    else this.#startNext(command.subject, command.arrived);
  }

  /**
   * Runs a command as soon as no earlier command of its entity runs. If the entity is in memory and the handler returns
   * at once, appends without waiting for anything.
   */
  #start(command: PendingCommand, now: number): void {
    const { stream, warm } = this.#options;
    const { subject, body: { definition } } = command;
    const copy = warm.get(subject);
    if (
      copy === undefined || copy.definition !== definition || copy.forgotten ||
      command.isOver(now) || !stream.isValid(copy, now) || !this.#isNew(copy, command, now)
    ) {
      return void this.#serve(subject, [command]);
    }
    const decided = this.#decide(command, copy);
    if (decided instanceof Promise || decided.command === undefined || command.ctx.aborted !== undefined) {
      command.deciding = { version: copy.version, state: copy.state, decided };
      return void this.#serve(subject, [command]);
    }
    command.keepContext();
    // this is no array literal, because V8 would keep a literal in memory for longer (`CommandDecision` says why)
    const message = this.#message(copy, Array.of(new AppendedCommand(command, decided)));
    stream.append(message, subject, message.text, this.#appending(message, now));
  }

  /**
   * Called with the outcome of an append that {@link OptimisticAppends.#start} made. One function serves all appends,
   * for speed.
   */
  readonly #answered = (message: MessageAppend, appended: Appended, now: number): void => {
    const [{ command: { subject } }] = message.entries;
    if (appended.type !== "stored") return void this.#serve(subject, [], { message, appended });
    this.#stored(message, appended.sequence, now);
    this.#startNext(subject, now);
  };

  /** Lets the next waiting command of the entity run; if several wait, they are handled together. */
  #startNext(subject: string, now: number): void {
    for (let next = this.#turns.pass(subject); next !== undefined; next = this.#turns.pass(subject)) {
      if (!next.beginUnlessAborted()) continue;
      if (this.#turns.hasWaiting(subject)) return void this.#serve(subject, [next]);
      const command = next;
      return void command.context!.run(() => this.#start(command, now)); // the context at the begin of its wait
    }
  }

  /** Runs rounds until these commands, and waiting commands that join them, have their outcomes. Never rejects. */
  async #serve(
    subject: string,
    commands: readonly PendingCommand[],
    begun?: { readonly message: MessageAppend; readonly appended: Appended },
  ): Promise<void> {
    let open = commands;
    if (begun !== undefined) open = await this.#store(begun.message, begun.appended);
    while (open.length > 0) open = await this.#runRound(subject, open);
    this.#startNext(subject, this.#now);
  }

  /**
   * Runs one round: calls handlers, and stores their events. Resolves with the commands that have no outcome yet. Never
   * rejects.
   */
  async #runRound(subject: string, commands: readonly PendingCommand[]): Promise<readonly PendingCommand[]> {
    const open = [...commands];
    const entries: AppendedCommand[] = [];
    try {
      const copy = await this.#copy(open[0]);
      await this.#decideAll(subject, copy, open, entries);
      if (entries.length === 0) return open;
      const undecided = entries.some(({ decided }) => decided.command !== undefined)
        ? await this.#storeDecisions(copy, entries)
        : await this.#confirm(copy, entries);
      return [...undecided, ...open];
    } catch (error) {
      // the error fails the commands that have been decided, or the first command if none has been decided
      const failed = entries.length > 0 ? entries.map(({ command }) => command) : open.splice(0, 1);
      for (const command of failed) if (!command.settled) command.fail(error);
      return open.filter(({ settled }) => !settled);
    }
  }

  /**
   * Calls handlers, one after the other, each on the state after the events of the one before: of the commands in
   * `open`, then of waiting commands of the entity whose handlers return at once. Moves each command whose handler has
   * ended from `open` to `entries`, the commands to be stored in one message; a command that has got its result in
   * another way only leaves `open`. Ends before the first command that does not fit into this message, and after an
   * asynchronous handler.
   */
  async #decideAll(
    subject: string,
    copy: EntityCopy<unknown>,
    open: PendingCommand[],
    entries: AppendedCommand[],
  ): Promise<void> {
    let on: VersionedState = { version: copy.version, state: copy.state };
    const room = { events: MAX_ITEMS_IN_GROUP, length: MAX_EVENT_CHARS, names: new Set<string>() };
    while (true) {
      if (open.length === 0) {
        const next = entries.length === 0
          ? undefined
          : this.#turns.next(subject, ({ body }) => this.#immediate.has(body));
        if (next === undefined) return;
        if (!next.beginUnlessAborted()) continue;
        open.push(next);
      }
      const [command] = open;
      const isFirst = entries.length === 0;
      if (isFirst ? await this.#isAnswered(copy, command) : !this.#joins(copy, command, room.names)) {
        if (!isFirst) return;
        open.shift();
        continue;
      }
      command.mayBeStored = false;
      let decided = this.#takeKeptDecision(command, on);
      if (decided === undefined) {
        const { context } = command;
        const decide = () => command.decide(on);
        decided = this.#noteIfImmediate(
          command,
          context === undefined ? decide() : (await context.run(decide)).returned,
        );
      }
      if (isFirst) decided = await decided;
      if (decided instanceof Promise || (!isFirst && !fits(decided, room))) {
        command.deciding = { ...on, decided };
        return;
      }
      open.shift();
      if (command.ctx.aborted !== undefined) {
        command.settle(decided);
        continue;
      }
      entries.push(new AppendedCommand(command, decided));
      room.events -= decided.count;
      room.length -= decided.length;
      if (command.hasGivenId) room.names.add(`${command.name} ${command.id}`);
      on = decided;
      // an asynchronous handler may take long, so the decisions made so far are stored without it
      if (!this.#immediate.has(command.body)) return;
    }
  }

  /**
   * Returns true if the handler of a command can be called on the state after the commands in one message, and its
   * events stored in that message. `names`: names and ids of these commands that came with an id of their senders.
   */
  #joins(copy: EntityCopy<unknown>, command: PendingCommand, names: ReadonlySet<string>): boolean {
    return this.#immediate.has(command.body) && command.body.definition === copy.definition &&
      !command.mayHaveEarlierAttempt &&
      this.#isNew(copy, command, this.#now) && !(command.hasGivenId && names.has(`${command.name} ${command.id}`));
  }

  #decide(command: PendingCommand, on: VersionedState): CommandDecision | Promise<CommandDecision> {
    return this.#takeKeptDecision(command, on) ?? this.#noteIfImmediate(command, command.decide(on));
  }

  /** Returns the decision that the command's handler has already made on this state; `undefined`: none. */
  #takeKeptDecision(
    command: PendingCommand,
    on: VersionedState,
  ): CommandDecision | Promise<CommandDecision> | undefined {
    const { deciding } = command;
    command.deciding = undefined;
    return deciding?.version === on.version && deciding.state === on.state ? deciding.decided : undefined;
  }

  #noteIfImmediate(
    { body }: PendingCommand,
    decided: CommandDecision | Promise<CommandDecision>,
  ): CommandDecision | Promise<CommandDecision> {
    if (decided instanceof Promise) this.#immediate.delete(body);
    else this.#immediate.add(body);
    return decided;
  }

  /** Resolves with true if the command has an outcome without its handler being called. */
  async #isAnswered(copy: EntityCopy<unknown>, command: PendingCommand): Promise<boolean> {
    if (copy.forgotten) {
      command.reject(forgotten(copy));
      return true;
    }
    if (!this.#isNew(copy, command, this.#now)) {
      try {
        const found = await this.#lookBack(copy, command);
        if (found !== undefined) command.answer(found);
      } catch (error) {
        command.fail(error);
      }
    }
    if (!command.settled && command.isOver(this.#now)) command.giveUp({ unanswered: false });
    return command.settled || command.rejectIfContended();
  }

  /** Returns true if this node knows that no attempt of the command was stored, and that its send has not ended. */
  #isNew(copy: EntityCopy<unknown>, command: PendingCommand, now: number): boolean {
    const { commands } = this.#options;
    if (command.isOnlyAttempt && !command.mayBeStored) return true;
    return this.#isCovered(copy, command, now) && commands.places(command) === undefined;
  }

  /** Returns true if this node has read, and remembers, all messages that could contain an attempt of the command. */
  #isCovered(copy: EntityCopy<unknown>, command: PendingCommand, now: number): boolean {
    const { stream, commands } = this.#options;
    const time = stream.timeAt(now);
    const maxAge = command.maxAttemptAge(now, time);
    const from = time - maxAge;
    return (copy.since <= from && commands.remembers(maxAge, command)) || copy.time < from;
  }

  /**
   * Looks in the stream for an earlier attempt of a command: in the messages that may contain the command, if this node
   * remembers any, else in all recent messages of the entity. Rejects with `UNAVAILABLE`.
   */
  async #lookBack(copy: EntityCopy<unknown>, command: PendingCommand): Promise<FoundCommand | undefined> {
    const { stream, commands } = this.#options;
    const { definition: { name } } = copy;
    const { subject } = command;
    const log = stream.readsUntil(command.due);
    for (const sequence of commands.places(command) ?? []) {
      const message = await log.at(sequence);
      const found = message?.subject === subject ? foundIn(commandsOf(name, message), command) : undefined;
      if (found !== undefined) return found;
    }
    const now = this.#now;
    if (this.#isCovered(copy, command, now)) return undefined;
    const time = stream.timeAt(now);
    const from = time - command.maxAttemptAge(now, time);
    let found: FoundCommand | undefined;
    // `from` is moved back by a margin, because this process knows the server's time less exactly than the time stamps
    // of messages are
    await stream.since(subject, { from: from - DEADLINE_MARGIN, upTo: copy.sequence, due: command.due }, (message) => {
      const stored = commandsOf(name, message);
      commands.add(subject, stored, message, stream.timeAt(this.#now));
      found ??= foundIn(stored, command);
    });
    copy.since = Math.min(copy.since, from);
    return found;
  }

  /** Returns the copy of the entity in memory if it is valid and of this definition; otherwise reads the entity. */
  async #copy({ subject, entity, body: { definition }, due }: PendingCommand): Promise<EntityCopy<unknown>> {
    const { stream, warm } = this.#options;
    const kept = warm.get(subject);
    const known = kept?.definition === definition ? kept : undefined;
    if (known !== undefined && stream.isValid(known, this.#now)) return known;
    const copy = await stream.current({ definition, id: entity }, known, due);
    warm.keep(subject, copy);
    return copy;
  }

  /**
   * Stores the decisions (events and results) of commands. Resolves with the commands whose handlers must be called
   * again.
   */
  async #storeDecisions(
    copy: EntityCopy<unknown>,
    entries: readonly AppendedCommand[],
  ): Promise<readonly PendingCommand[]> {
    const message = this.#message(copy, entries);
    // the clock is read again, because a handler, or the search for an earlier attempt, may have taken long
    const now = this.#now;
    if (this.#options.stream.isValid(copy, now)) return await this.#store(message, await this.#append(message, now));
    return await this.#store(message, undefined);
  }

  #message(copy: EntityCopy<unknown>, entries: readonly AppendedCommand[]): MessageAppend {
    const { host: { endpoint, clock }, number } = this.#options;
    const commands: string[] = [];
    const events: string[] = [];
    let count = 0;
    let contracts = "";
    for (const { decided } of entries) {
      if (decided.command === undefined) continue;
      commands.push(decided.command);
      if (decided.count === 0) continue;
      events.push(decided.events);
      count += decided.count;
      if (contracts === "") contracts = decided.contracts;
      else if (contracts !== decided.contracts) contracts += `,${decided.contracts}`;
    }
    const origin = { endpoint, first: number(Math.max(1, count)), sentAt: clock.now() };
    const shapes = contracts === "" ? "" : this.#shapesOf(copy.definition, contracts);
    const text = entityGroupText(origin, copy.version, commands, events, shapes);
    return new MessageAppend(entries, copy, { text, mark: markOf(origin) }, this.#answered);
  }

  /** Encodes the shapes of a message's events. `contracts`: their names, repeated. */
  #shapesOf({ events }: EntityDefinition<unknown>, contracts: string): string {
    const { host } = this.#options;
    const names = contracts.includes(",") ? [...new Set(contracts.split(","))] : [contracts];
    return shapesText(names.map((name) => host.shapeOf(events.get(name)!.contract)));
  }

  #append(message: MessageAppend, now: number): Promise<Appended> {
    const { command: { subject } } = message.entries[0];
    return new Promise((appended) =>
      this.#options.stream.append({ appended }, subject, message.text, this.#appending(message, now))
    );
  }

  #appending(message: MessageAppend, now: number): ConditionalAppend {
    const { entries, copy } = message;
    const limit = message.tries++ === 0 ? FIRST_TRY : LATER_TRY;
    return { now, due: Math.max(now + 1, Math.min(nextDeadline(entries), now + limit)), expect: copy.sequence };
  }

  /**
   * Appends a message again and again until its outcome is known. `appended`: outcome of the first append; `undefined`:
   * no append was made, because the stream may have changed. Resolves with the commands whose handlers must be called
   * again; the other commands have their outcomes. Never rejects.
   */
  async #store(message: MessageAppend, appended: Appended | undefined): Promise<readonly PendingCommand[]> {
    const { stream, host: { clock } } = this.#options;
    const { entries, copy } = message;
    let unanswered = false;
    let error: unknown;
    for (let pause = FIRST_PAUSE;; pause = Math.min(LONGEST_PAUSE, Math.max(FIRST_PAUSE, pause * 2))) {
      if (appended?.type === "stored") {
        this.#stored(message, appended.sequence, this.#now);
        return [];
      }
      if (appended?.type === "unknown") unanswered = true;
      if (appended?.type === "unknown" || appended?.type === "not stored") ({ error } = appended);
      if (appended?.type === "not stored" && !appended.transient && !unanswered) return failed(entries, error);
      if (appended === undefined || appended.type === "conflict" || !stream.isValid(copy, this.#now)) {
        const compared = await this.#compare(message, error);
        if ("failed" in compared) {
          error = compared.failed;
          // the message can no longer be stored, and the entity cannot be read now
          if (!unanswered && (appended === undefined || appended.type === "conflict")) return failed(entries, error);
        } else if (compared !== copy) return this.#redecide(message, compared, unanswered);
        else if (appended === undefined) pause = 0;
      }
      const now = clock.monotonic();
      const open = entries.map(({ command }) => command).filter(({ settled }) => !settled);
      const over = open.filter((command) => command.isOver(now));
      for (const command of over) command.giveUp({ unanswered, error });
      if (over.length === open.length) return [];
      // the message is certainly not stored: the handlers of the commands that have not ended are called again
      if (over.length > 0 && !unanswered) return open.filter(({ settled }) => !settled);
      if (pause > 0) {
        const left = nextDeadline(entries) - now;
        await delay(clock, Math.max(0, Math.min(pause, left)));
        if (!unanswered && left - pause < SHORTEST_TRY) continue;
      }
      appended = stream.isValid(copy, this.#now) ? await this.#append(message, this.#now) : undefined;
    }
  }

  /**
   * Reads the entity from the stream's leader, to compare it with the copy of the entity on which `message` was based.
   * Resolves with that copy itself if it is still valid, else with a new copy. Resolves with `failed`, the reason, if
   * the entity cannot be read before the commands' deadlines, or if an `apply` function throws; `before`, the error of
   * the last append, is the reason if the stream gives no answer.
   */
  async #compare(
    { copy, entries }: MessageAppend,
    before: unknown,
  ): Promise<EntityCopy<unknown> | { readonly failed: unknown }> {
    const { stream, host: { clock } } = this.#options;
    const due = Math.max(...entries.map(({ command }) => command.due));
    // the entity is read into a second copy, so that the first stays unchanged even if the read goes on after the
    // deadline
    const known = copy.clone();
    const late = new AbortController();
    try {
      const reading = stream.current(copy, known, due);
      const left = Math.max(0, due - clock.monotonic());
      const read = await Promise.race([reading, delay(clock, left, late.signal).catch(() => undefined)]);
      if (read === undefined) {
        reading.catch(() => {}); // a rejection after the deadline concerns nobody
        const silent = unavailable("the stream of entities did not answer");
        return { failed: before ?? silent };
      }
      if (read.sequence !== copy.sequence || read.mark !== copy.mark) return read;
      copy.epoch = read.epoch;
      return copy;
    } catch (failed) {
      return { failed };
    } finally {
      late.abort();
    }
  }

  /**
   * Handles a conflict: another message of the entity was stored before `message`. `read`: the entity with that
   * message; `unanswered`: an append of `message` got no answer, so that it may have been stored. Resolves with the
   * commands whose handlers must be called again.
   */
  #redecide(
    { entries, copy }: MessageAppend,
    read: EntityCopy<unknown>,
    unanswered: boolean,
  ): readonly PendingCommand[] {
    const [{ command: { subject } }] = entries;
    this.#options.warm.keep(subject, read);
    const open = entries.map(({ command }) => command).filter(({ settled }) => !settled);
    // if the append had been stored, its message would be among the messages just read
    const isLost = unanswered && read.sequence <= copy.sequence;
    for (const command of open) {
      if (isLost) command.rejectAsUnknown("the stream has lost what it was decided on");
      command.mayBeStored = unanswered;
      command.conflicts++;
    }
    return isLost ? [] : open;
  }

  /**
   * Confirms decisions without events, which are valid if no message of the entity was stored after the state `copy` on
   * which they were made. Resolves with the commands whose handlers must be called again.
   */
  async #confirm(copy: EntityCopy<unknown>, entries: readonly AppendedCommand[]): Promise<readonly PendingCommand[]> {
    const { stream, warm } = this.#options;
    const { sequence, mark } = copy;
    const [{ command: { subject, due } }] = entries;
    const read = await stream.current(copy, copy, due);
    warm.keep(subject, read);
    const holds = read.sequence === sequence && read.mark === mark;
    for (const { command, decided } of entries) {
      if (holds) command.settle(decided);
      else command.conflicts++;
    }
    return holds ? [] : entries.map(({ command }) => command);
  }

  #stored({ entries, copy, text, mark }: MessageAppend, sequence: number, now: number): void {
    const { stream, commands, warm, changed } = this.#options;
    const { command: { subject } } = entries[0];
    const { version, state } = entries[entries.length - 1].decided;
    stream.leaderAnswered(now);
    copy.change({ version, state, sequence, mark, time: stream.timeAt(now), size: text.length });
    warm.keep(subject, copy);
    for (const { command, decided } of entries) {
      if (decided.command !== undefined && !command.isOnlyAttempt) {
        commands.note(command, decided.count > 0, sequence, now);
      }
      if (!command.settled) command.settle(decided);
    }
    changed(subject, copy, now);
  }

  get #now(): number {
    return this.#options.host.clock.monotonic();
  }
}

/**
 * Fails the commands that have no outcome. Returns an empty list, because no handler is to be called again.
 */
function failed(entries: readonly AppendedCommand[], error: unknown): readonly PendingCommand[] {
  for (const { command } of entries) if (!command.settled) command.fail(error);
  return [];
}

/** Returns true if the message has room for the events of this decision. */
function fits({ count, length }: CommandDecision, room: { readonly events: number; readonly length: number }): boolean {
  return count <= room.events && length <= room.length;
}

/** Makes the error for a command of a forgotten entity. It is final, because the entity stays forgotten. */
export function forgotten<State>({ definition, id }: EntityCopy<State>): CatgaError {
  return new CatgaError("FORGOTTEN", `${definition.name} ${id} was forgotten`, { final: true });
}

function commandsOf(type: string, { data }: StoredMessage): readonly EntityCommand[] {
  const read = readEntityMessage(type, data);
  return "reason" in read ? [] : read.commands;
}

/** Returns the nearest deadline of the commands that have no outcome yet; Infinity: all have one. */
function nextDeadline(entries: readonly AppendedCommand[]): number {
  let next = Infinity;
  for (const { command: { settled, due } } of entries) if (!settled && due < next) next = due;
  return next;
}

/** Maximum number of characters of the events that several commands emit in one message. */
const MAX_EVENT_CHARS = 65_536;
/**
 * Timeout of the first append of a message (`FIRST_TRY`), and of each later append of it (`LATER_TRY`), in ms: during
 * an election of the stream's leader some appends get no answer.
 */
const FIRST_TRY = 2_000;
const LATER_TRY = 5_000;
/**
 * Minimum time that must be left for another append, in ms: an append that ends without an answer makes the outcome
 * unknown.
 */
const SHORTEST_TRY = 50;
const FIRST_PAUSE = 5; // ms, the first pause between two appends of one message
const LONGEST_PAUSE = 500; // ms, the longest pause between two appends of one message
const DEADLINE_MARGIN = 1_000; // ms by which this process may misjudge the server's time
