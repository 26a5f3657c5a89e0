/** Dead letters, as programs see them. */
import { CatgaError } from "../../error.ts";
import type { DeadLetter, DeadLetterOptions } from "../../contract/kept.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { parkedPrefix } from "../format/names.ts";
import { type ParkedEntry, readParked, writeParked } from "../format/parked_entry.ts";
import type { StoredRecord } from "./stored_records.ts";
import { type Parked, ParkedIndex } from "./parked_index.ts";
import { payloadOf } from "./payload_of.ts";
import { rewriteEntry } from "./rewrite.ts";

/** The dead letters by service, subscription and position: those that are there at the call, each read when its turn comes. */
export async function* listDeadLetters(
  bucket: Bucket,
  records: readonly StoredRecord[],
  clock: Clock,
  { service, subscription }: DeadLetterOptions,
): AsyncIterableIterator<DeadLetter> {
  const prefix = service !== undefined && subscription !== undefined ? parkedPrefix(service, subscription) : "";
  const index = await ParkedIndex.read(bucket, prefix, records);
  const wanted = index.all.filter(({ service: of, name }) =>
    (service === undefined || of === service) && (subscription === undefined || name === subscription)
  );
  const behind = heldBehind(wanted);
  for (const parked of wanted) {
    if (parked.dead === 0) continue;
    const found = await bucket.get(parked.key);
    const entry = found && readParked(parked.position, found.value);
    // replayed or discarded meanwhile
    if (entry === undefined || typeof entry === "string" || entry.dead === 0) continue;
    yield letterOf(bucket, clock, parked, entry, behind.get(parked) ?? 0);
  }
}

/** How many messages wait behind each. `parked` is sorted by subscription and position. */
function heldBehind(parked: readonly Parked[]): Map<Parked, number> {
  const lines = new Map<string, number>();
  const behind = new Map<Parked, number>();
  for (let i = parked.length - 1; i >= 0; i--) {
    const { service, name, line } = parked[i];
    if (line === undefined) continue;
    const id = `${service}/${name}/${line}`;
    const count = lines.get(id) ?? 0;
    behind.set(parked[i], count);
    lines.set(id, count + 1);
  }
  return behind;
}

function letterOf(bucket: Bucket, clock: Clock, parked: Parked, entry: ParkedEntry, heldBehind: number): DeadLetter {
  const { message, attempts, error, dead } = entry;
  const { service, name, position, key } = parked;
  const request = (wanted: "replay" | "discard") => ask(bucket, clock, parked, wanted);
  return Object.freeze({
    id: message.id,
    service,
    subscription: name,
    contract: message.category,
    key: message.key,
    payload: payloadOf(message),
    headers: Object.freeze({ ...message.meta?.h }),
    position,
    error: Object.freeze(error ?? { code: "HANDLER_FAILED", message: `no error is recorded under ${key}` }),
    attempts,
    publishedAt: dateOf(message.time),
    at: dateOf(dead),
    heldBehind,
    replay: () => request("replay"),
    discard: () => request("discard"),
  });
}

/** Writes a request into the entry. The leader of the subscription carries it out, now or when there is one. */
async function ask(
  bucket: Bucket,
  clock: Clock,
  { key, position, service, name }: Parked,
  request: "replay" | "discard",
): Promise<void> {
  const is = (what: string) =>
    new CatgaError("UNAVAILABLE", `cannot ${request} position ${position} of ${service}/${name}: it ${what}`);
  const found = await rewriteEntry(bucket, key, clock, (text) => {
    const entry = readParked(position, text);
    if (typeof entry === "string") throw is(`cannot be read (${entry})`);
    if (request === "replay" && entry.request === "discard") throw is("is being discarded");
    if (entry.dead > 0) return writeParked({ ...entry, request });
    if (request === "replay") return undefined; // it is being tried again already
    throw is("is no dead letter: it was replayed, and is being tried again");
  });
  if (!found && request === "replay") throw is("is no dead letter any more: it was handled or discarded meanwhile");
}

/** An entry may say any time. */
function dateOf(ms: number): Date {
  return new Date(Math.min(ms, 8.64e15));
}
