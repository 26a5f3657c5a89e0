/** The entities of a namespace, as one node reads and changes them. Opens nothing until it is first needed. */
import { show } from "../data/checks.ts";
import type { EntityBody } from "../contract/entity_body.ts";
import type { EntityDefinition, LoadedEntity, LoadOptions } from "../contract/entity_definition.ts";
import type { Entities } from "../dispatch/entities.ts";
import type { DecidingMessage } from "../dispatch/context_host.ts";
import { keyOf } from "../dispatch/routing_key.ts";
import { CatgaError } from "../error.ts";
import {
  entityGroupText,
  FORGOTTEN_EVENT,
  headWithoutCommand,
  readEntityGroup,
  saysForgotten,
} from "../log/format/entity_group.ts";
import { delay } from "../ports/clock.ts";
import type { StoredMessage } from "../ports/event_log.ts";
import { Command, dueOf } from "./command.ts";
import type { EntityCopy } from "./entity_copy.ts";
import { EntityStream } from "./entity_stream.ts";
import type { EntitiesHost } from "./host.ts";
import { snapshotDue, Snapshots } from "./snapshots.ts";
import { Turns } from "./turns.ts";
import { WarmCopies } from "./warm_copies.ts";

/** Makes the entities of a node. */
export function openEntities(host: EntitiesHost): Entities {
  return new NodeEntities(host);
}

class NodeEntities implements Entities {
  readonly #host: EntitiesHost;
  readonly #snapshots: Snapshots;
  readonly #stream: EntityStream;
  readonly #turns: Turns;
  readonly #warm = new WarmCopies();
  /** Events that this process has emitted. */
  #emitted = 0;

  constructor(host: EntitiesHost) {
    this.#host = host;
    this.#turns = new Turns(host.clock);
    this.#snapshots = new Snapshots(host);
    this.#stream = new EntityStream(host, this.#snapshots);
  }

  async decide(body: EntityBody, payload: unknown, ctx: DecidingMessage): Promise<unknown> {
    const { definition } = body;
    const id = entityOf(ctx);
    const subject = this.#stream.subject(definition.name, id);
    const what = () => `${ctx.contract.name} of ${definition.name} ${id}`;
    const { call, ancestry } = ctx.envelope;
    const turn = this.#turns.take(subject, { call, ancestry, due: dueOf(ctx, this.#host.clock) });
    if (turn !== undefined) {
      ctx.execution.awaitingTurn = true;
      const waited = await turn;
      // aborted before this, it is told to have not begun, and does not begin below
      ctx.execution.awaitingTurn = false;
      if (waited !== "came") throw notBegun(what(), waited);
    }
    try {
      const { aborted } = ctx;
      if (aborted !== undefined) throw aborted.code === "TIMEOUT" ? notBegun(what(), "late", aborted) : aborted;
      const copy = await this.#copy(definition, id, subject, ctx);
      const before = copy.version;
      const number = (events: number) => (this.#emitted += events) - events;
      const command = new Command({ host: this.#host, stream: this.#stream, body, id, payload, ctx, number }, copy);
      try {
        return await command.run();
      } finally {
        // however it ended: a copy is what has been read, and what is known to be stored
        this.#warm.keep(subject, command.copy);
        this.#snapshot(subject, command.copy, before);
      }
    } finally {
      this.#turns.pass(subject);
    }
  }

  async load<State>(
    definition: EntityDefinition<State>,
    id: string,
    { latest = false }: LoadOptions,
  ): Promise<LoadedEntity<State>> {
    checkEntityId(`load ${definition.name}`, id);
    const due = this.#host.clock.monotonic() + this.#host.timeout;
    const warm = this.#warm.get(this.#stream.subject(definition.name, id));
    // the copy of another definition of this name may have another state
    let copy = warm?.definition === definition
      ? await this.#stream.advance(warm.toRead() as EntityCopy<State>, { due })
      : await this.#stream.load(definition, id, { remember: false, due });
    if (latest) ({ copy } = await this.#stream.latest(copy, due));
    if (copy.forgotten) throw new CatgaError("FORGOTTEN", `${definition.name} ${id} was forgotten`);
    return { id, version: copy.version, state: copy.state };
  }

  async forget<State>({ name }: EntityDefinition<State>, id: string): Promise<void> {
    checkEntityId(`forget ${name}`, id);
    const { clock, timeout } = this.#host;
    const due = clock.monotonic() + timeout;
    const subject = this.#stream.subject(name, id);
    const stream = await this.#stream.get();
    let error: CatgaError | undefined;
    for (let pause = 5;; pause = Math.min(500, pause * 2)) {
      const left = due - clock.monotonic();
      if (left <= 0) {
        const last = error === undefined ? "" : `; last error: ${error.message}`;
        throw new CatgaError("UNAVAILABLE", `${name} ${id} may be forgotten in part: forget it again${last}`, {
          retryable: true,
          cause: error,
        });
      }
      const last = await stream.last(subject, { latest: true });
      if (last !== undefined && this.#isForgotten(last)) {
        await this.#snapshots.remove(name, id);
        await stream.purge(subject, { before: last.sequence });
        await this.#snapshots.remove(name, id);
        return this.#warm.drop(subject);
      }
      const text = this.#forgotten(id, this.#versionBehind(last));
      const appended = await stream.append(subject, text, { timeout: left, expect: last?.sequence ?? 0 });
      if (appended.type === "stored") continue;
      if (appended.type !== "conflict") {
        error = appended.error;
        if (appended.type === "not stored" && !appended.passing) throw error;
      }
      await delay(clock, Math.min(pause, left));
    }
  }

  async close(): Promise<void> {
    await this.#snapshots.settled();
  }

  /** The warm copy of this definition, or what is stored. */
  async #copy(
    definition: EntityDefinition<unknown>,
    id: string,
    subject: string,
    ctx: DecidingMessage,
  ): Promise<EntityCopy<unknown>> {
    const warm = this.#warm.get(subject);
    if (warm?.definition === definition) return warm;
    const now = this.#host.clock.monotonic();
    return await this.#stream.load(definition, id, { remember: true, due: now + ctx.remaining(now) });
  }

  /** Writes a snapshot when as many events have come as there are between two. */
  #snapshot(subject: string, copy: EntityCopy<unknown>, before: number): void {
    if (!snapshotDue(copy, before)) return;
    const isForgotten = async () => {
      const stream = await this.#stream.get();
      const last = await stream.last(subject, { latest: true });
      return last !== undefined && this.#isForgotten(last);
    };
    const created = this.#stream.created();
    const write = (created: string) => this.#snapshots.write(copy, created, isForgotten);
    if (typeof created === "string") write(created);
    else this.#background(created.then(write));
  }

  #background(work: Promise<void>): void {
    work.catch((error) => this.#host.observer({ type: "fault", during: "writing a snapshot", error }));
  }

  /** Whether the last message of an entity says that it is forgotten. */
  #isForgotten(last: StoredMessage): boolean {
    const group = readEntityGroup(this.#host.namespace, last);
    return !("reason" in group) && saysForgotten(group);
  }

  #versionBehind(last: StoredMessage | undefined): number {
    const group = last && readEntityGroup(this.#host.namespace, last);
    return group === undefined || "reason" in group ? 0 : group.head.version + group.messages.length;
  }

  #forgotten(id: string, version: number): string {
    const { endpoint, clock } = this.#host;
    const head = headWithoutCommand(version);
    const item = { event: FORGOTTEN_EVENT, text: JSON.stringify({ id }) };
    return entityGroupText({ endpoint, first: this.#emitted++, sentAt: clock.now() }, head, [item]);
  }
}

/** The entity that a command is for: the key that its contract makes of the payload as it was sent. */
function entityOf({ contract, execution: { payload } }: DecidingMessage): string {
  let id: string | undefined;
  try {
    id = keyOf(contract, payload);
  } catch (cause) {
    const message = `command ${contract.name}: its key, which is the entity's id, cannot be made of this payload`;
    throw new CatgaError("INVALID_MESSAGE", message, { cause });
  }
  try {
    checkEntityId(`command ${contract.name}: the key`, id);
  } catch (cause) {
    // it is a TypeError
    throw new CatgaError("INVALID_MESSAGE", (cause as Error).message, { cause });
  }
  return id;
}

function checkEntityId(at: string, id: string | undefined): asserts id is string {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID && id.isWellFormed()) return;
  throw new TypeError(`${at}: the id of an entity is a string of 1 to ${MAX_ID} characters; got ${show(id)}`);
}

/** Its turn did not come: it certainly was not applied. */
function notBegun(what: string, why: "late" | "deadlock", cause?: CatgaError): CatgaError {
  if (why === "deadlock") {
    const message = `${what} was not applied: it waits for its turn, and the command that has it waits for this one`;
    return new CatgaError("DEADLOCK", message);
  }
  const message = `${what} was not applied: its turn had not come when its deadline passed`;
  return new CatgaError("UNAVAILABLE", message, { retryable: true, cause });
}

/** Of an entity's id, in characters. */
const MAX_ID = 256;
