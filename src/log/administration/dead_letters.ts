/** Lists dead letters (messages whose attempts are used up) for programs, which can replay or discard them. */
import { CatgaError } from "../../error.ts";
import type { DeadLetter, DeadLetterOptions } from "../../contract/calls/durable_messages.ts";
import { storedLimit, tooLarge } from "../../data/message_room.ts";
import { checkKnown } from "../../data/checks.ts";
import { byteLength } from "../../data/utf8.ts";
import { toText } from "../../data/encoding.ts";
import { messageId, type ParkedState } from "../format/commit.ts";
import { itemText } from "../format/group.ts";
import type { ParkedMessage } from "../format/parked_message.ts";
import { payloadOf, timesOf } from "../format/logged_message.ts";
import type { LetterSubject } from "../format/subscription_request.ts";
import { dateOf } from "../../ports/clock.ts";
import { storeRequest } from "./requests.ts";
import {
  inOrder,
  type KeptCommits,
  parkedLines,
  parkedMessage,
  pendingRequest,
  type StoredSubscription,
  storedSubscription,
} from "./stored_subscriptions.ts";

/**
 * Lists the dead letters, sorted by service, subscription and position; a subscription is read only when all letters of
 * those before it were taken. `only`: ids of the messages to list; default: all.
 */
export async function* listDeadLetters(
  kept: Omit<LetterSource, "latest">,
  subscriptions: readonly StoredSubscription[],
  { service, subscription }: DeadLetterOptions,
  only?: ReadonlySet<string>,
): AsyncIterableIterator<DeadLetter> {
  for (const { key, ...about } of subscriptions) {
    if (service !== undefined && about.service !== service) continue;
    if (subscription !== undefined && about.name !== subscription) continue;
    const stored = await storedSubscription(kept, key);
    if (stored === undefined || ![...stored.state.parked.values()].some(({ dead }) => dead > 0)) continue;
    const behind = await heldBehind(kept, stored);
    const latest = latestOf(kept, stored);
    const dead = inOrder(stored.state.parked).filter(([id, state]) => state.dead > 0 && only?.has(id) !== false);
    for (let i = 0; i < dead.length; i += MAX_BATCH) {
      const some = dead.slice(i, i + MAX_BATCH);
      const messages = await Promise.all(some.map(([id]) => parkedMessage(kept, key, id)));
      for (const [n, parked] of messages.entries()) {
        const [id, state] = some[n];
        // a message that is undefined was erased after the list of dead letters was read
        if (parked !== undefined) yield letterOf({ ...kept, latest }, stored, parked, state, behind.get(id) ?? 0);
      }
    }
  }
}

/** The stream `catga_<ns>_subscriptions`, in which the leaders of subscriptions store commits and parked messages. */
interface LetterSource extends KeptCommits {
  readonly network: { readonly maxPayload: number };
  readonly latest: () => Promise<StoredSubscription | undefined>;
}

function latestOf(kept: KeptCommits, stored: StoredSubscription): LetterSource["latest"] {
  let known: StoredSubscription | undefined = stored;
  let last: Promise<unknown> | undefined;
  let next: ReturnType<LetterSource["latest"]> | undefined;
  return () =>
    next ??= (async () => {
      await last?.catch(() => {}); // the caller of that read gets the error
      next = undefined;
      const reading = last = storedSubscription(kept, stored.key, known);
      return known = await reading;
    })();
}

/** Returns, for each dead letter, the number of messages of its contract and key that wait behind it. */
async function heldBehind(kept: KeptCommits, stored: StoredSubscription): Promise<Map<string, number>> {
  const lines = await parkedLines(kept, stored);
  const counts = new Map<string, number>();
  const behind = new Map<string, number>();
  for (const [id] of inOrder(stored.state.parked).reverse()) {
    const line = lines.get(id);
    if (line === undefined) continue;
    const count = counts.get(line) ?? 0;
    behind.set(id, count);
    counts.set(line, count + 1);
  }
  return behind;
}

function letterOf(
  kept: LetterSource,
  { key, service, name }: StoredSubscription,
  { message, error }: ParkedMessage,
  { position, time, attempts, dead }: ParkedState,
  heldBehind: number,
): DeadLetter {
  const request = (kind: "replay" | "discard", payload?: string) =>
    ask(kept, { key, service, name, position, id: messageId({ position, time }), message }, kind, payload);
  return Object.freeze({
    id: message.id,
    service,
    subscription: name,
    contract: message.category,
    key: message.key,
    payload: payloadOf(message),
    headers: Object.freeze({ ...message.meta?.h }),
    position,
    error: Object.freeze(error ?? { code: "HANDLER_FAILED", message: `no error is recorded of position ${position}` }),
    attempts,
    ...timesOf(message.time, message.meta),
    at: dateOf(dead),
    heldBehind,
    history: Object.freeze((message.earlier ?? []).map(([at, payload]) => Object.freeze({ at: dateOf(at), payload }))),
    replay: async (options = {}) => {
      checkKnown("replay", options, REPLAY_OPTIONS);
      const { payload } = options;
      if (payload === undefined) return await request("replay");
      const text = toText(payload, "INVALID_MESSAGE", "the payload", message.category);
      const limit = storedLimit(kept.network.maxPayload);
      const size = byteLength(itemText({ text, key: message.key, id: undefined, meta: message.meta }));
      if (size > limit) {
        const what =
          `${message.category} ${message.id} was not replayed: with this payload, its key and its headers it`;
        throw tooLarge(what, size, limit, "publish");
      }
      await request("replay", text);
    },
    discard: () => request("discard"),
  });
}

const REPLAY_OPTIONS = new Set(["payload"]);

interface LetterPlace {
  readonly key: string;
  readonly service: string;
  readonly name: string;
  readonly position: number;
  /** Id of the message. */
  readonly id: string;
  readonly message: LetterSubject;
}

/**
 * Stores a request to replay or discard a dead letter. A discard replaces a replay that was not carried out yet: both
 * requests have the same id. `payload`: text of the payload with which the letter is replayed; `undefined`: its own.
 * Rejects with the final `CONFLICT` if the letter was settled meanwhile, so that it can no longer be done.
 */
async function ask(
  kept: LetterSource,
  { key, service, name, position, id, message: { category, key: ofKey } }: LetterPlace,
  kind: "replay" | "discard",
  payload: string | undefined,
): Promise<void> {
  const text = (what: string) => `cannot ${kind} position ${position} of ${service}/${name}: it ${what}`;
  const settled = (what: string) => new CatgaError("CONFLICT", text(what), { final: true });
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const stored = await kept.latest();
    const state = stored?.state.parked.get(id);
    if (stored === undefined || state === undefined) {
      if (kind === "discard") return;
      throw settled("is no dead letter any more: it was handled or discarded meanwhile");
    }
    const { dead } = state;
    if (dead === 0) {
      // the letter was replayed already, and its new attempt is under way
      if (kind === "replay" && payload === undefined) return;
      throw settled("is no dead letter: it was replayed, and is being tried again");
    }
    const of = letterRequest(id, dead);
    const { request, sequence } = await pendingRequest(kept, stored, of);
    const given = request !== undefined && "payload" in request ? request.payload : undefined;
    if (request?.kind === kind && (payload === undefined || given === payload)) return;
    if (request?.kind === "discard" && kind === "replay") throw settled("is being discarded");
    const edit = payload === undefined ? {} : { payload, of: { category, key: ofKey } };
    const wanted = { kind, message: id, dead, ...edit };
    if (await storeRequest(kept, key, of, wanted, sequence)) return;
  }
  throw new CatgaError("UNAVAILABLE", text("is asked for by others all the time; try again"), { retryable: true });
}

/** Makes the id of requests about a dead letter from the message's id and the time since which the message is dead. */
function letterRequest(id: string, dead: number): string {
  return `letter-${id}-${dead}`;
}

const MAX_ATTEMPTS = 5;
/** Number of messages that are read at once; each may have 1 MB. */
const MAX_BATCH = 16;
