/**
 * Copies everything that is stored between the file of a program and a namespace of NATS: streams with their sequences,
 * recorded results, schedules, ids. Subscriptions go on at their positions; snapshots are made again. Both directions
 * read and compare in the same way.
 * @decides what is copied between a file and NATS, in which order, and how the copy is checked
 */
import { createHash } from "node:crypto";
import { CatgaError } from "../../error.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { isRecord } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import type { CopiedEntry, CopiedFile, CopiedMessage, CopiedStream, FileCopy } from "../../file/copied_rows.ts";
import { readCommitSubject } from "../../log/format/names.ts";
import { STREAM_KINDS, streamOptions } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { logSettings } from "../../nats/log/log_settings.ts";
import { type CopiedState, StreamCopy } from "../../nats/stream/copied_stream.ts";
import type { openNats } from "../../nats/open.ts";
import { messagesFrom } from "../../ports/event_log.ts";
import { bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";

/** An open connection to NATS. */
export type OpenedNats = Awaited<ReturnType<typeof openNats>>;

/** A part that was copied, and verified. */
export interface CopiedPart {
  readonly name: string;
  readonly count: number;
  /** Fingerprint of all of it, equal on both sides. */
  readonly fingerprint: string;
}

/** A file and the namespace into which it is copied. */
export interface CopyJob {
  readonly file: CopiedFile;
  readonly nats: OpenedNats;
  readonly namespace: string;
  readonly replicas: number;
  /** Address of the server, as the file is to name it. */
  readonly address: string;
  /** Called after each step; a test ends the process here. */
  onStep?(step: string): void | Promise<void>;
}

/** Note that a copy leaves in the file, so that it can go on after a break. */
interface CopyNote {
  readonly namespace: string;
  /** Number of starts on the file when the copy began: after another one the copy begins anew. */
  readonly starts: number;
  /** By name of the streams that the copy has made: when each was created. */
  readonly created: Readonly<Record<string, string>>;
  /** Sequence of the log up to which its schedules are written. */
  readonly scheduled: number;
}

const NOTE = "copying";

/** Returns true if an earlier copy of the file has begun, and no program has run on it since. */
export function resumesCopy(file: CopiedFile, namespace: string): boolean {
  const note = noteOf(file);
  return note !== undefined && note.namespace === namespace && note.starts === file.starts;
}

function noteOf(file: CopiedFile): CopyNote | undefined {
  const text = file.note(NOTE);
  return text === undefined ? undefined : parsedJson(text) as CopyNote; // cast: only this file writes it
}

/**
 * Copies a file into a namespace, verifies the copy, and marks the file as moved. Can be repeated after a break at any
 * moment. Rejects with a `CatgaError` if the namespace has something of its own, or the copy differs: the file then is
 * as it was.
 */
export async function moveFile(job: CopyJob): Promise<CopiedPart[]> {
  const { file, nats, namespace, address } = job;
  const step = async (name: string) => await job.onStep?.(name);
  const streams = file.streams().filter(({ name }) =>
    STREAM_KINDS.some((kind) => name === streamName(namespace, kind))
  );
  if (streams.length === 0 && file.streams().length > 0) {
    const others = file.streams().map(({ name }) => name).join(", ");
    throw new CatgaError("UNAVAILABLE", `the file has nothing of the namespace ${namespace}; it has ${others}`);
  }
  await refuseNodes(job);
  const states = new Map<string, CopiedState>();
  for (const stream of streams) {
    states.set(stream.name, await begin(job, stream));
    await step(`made ${stream.name}`);
  }
  const created = new Map(streams.map(({ name, created }) => [created, states.get(name)!.created]));
  const rewrite = (message: CopiedMessage) => rewritten(message, namespace, created);
  for (const stream of streams) {
    await copyStream(job, stream, states.get(stream.name)!.last, rewrite);
    await step(`copied ${stream.name}`);
  }
  const entries = file.entries(bucketName(namespace, "idempotency")).filter(isAlive);
  const bucket = await nats.store.open(bucketName(namespace, "idempotency"), {
    ...BUCKETS.idempotency,
    replicas: job.replicas,
  });
  await fewAtOnce(
    entries,
    AT_ONCE,
    ({ key, value, left }) => bucket.put(key, value, left === undefined ? {} : { ttl: left }),
  );
  await step("copied results");
  const parts: CopiedPart[] = [];
  for (const stream of streams) parts.push(await verify(job, stream, rewrite));
  parts.push(await verifyEntries(bucket.name, entries, await bucket.entries("")));
  await step("verified");
  await copySchedules(job);
  await step("scheduled");
  file.setNote("moved", address);
  return parts;
}

/** Rejects with `UNAVAILABLE` if nodes run in the namespace: what they store would mix with the copy. */
async function refuseNodes({ nats, namespace }: CopyJob): Promise<void> {
  const name = bucketName(namespace, "nodes");
  const state = await new StreamCopy(nats.transport, bucketStreamName(name)).state();
  if (state === undefined) return;
  const bucket = await nats.store.open(name, { ...BUCKETS.nodes, replicas: state.replicas });
  const nodes = (await bucket.entries("")).map(({ key }) => key);
  if (nodes.length === 0) return;
  throw new CatgaError(
    "UNAVAILABLE",
    `nodes run in the namespace ${namespace}: ${nodes.join(", ")}. Stop them, or give another --namespace`,
  );
}

/** Finds the stream of an earlier copy, or makes it. */
async function begin({ file, nats, namespace, replicas }: CopyJob, stream: CopiedStream): Promise<CopiedState> {
  const copy = new StreamCopy(nats.transport, stream.name);
  const note = noteOf(file);
  const resumed = resumesCopy(file, namespace) ? note : undefined;
  const own = resumed?.created[stream.name];
  let state = await copy.state();
  if (state !== undefined && state.created === own) return state;
  if (state !== undefined) {
    // of an earlier copy, since which a program has run on the file; or empty, as `catga setup` makes it
    const isOfCopy = note?.namespace === namespace && note.created[stream.name] === state.created;
    if (!isOfCopy && state.messages > 0) {
      throw new CatgaError(
        "UNAVAILABLE",
        `the namespace ${namespace} has ${state.messages} messages in ${stream.name} already: give another --namespace`,
      );
    }
    await copy.remove();
  }
  await copy.make(logSettings(optionsOf(namespace, stream.name, replicas)), stream.first);
  state = (await copy.state())!;
  const created = { ...resumed?.created, [stream.name]: state.created };
  const next: CopyNote = { namespace, starts: file.starts, created, scheduled: resumed?.scheduled ?? 0 };
  file.setNote(NOTE, JSON.stringify(next));
  return state;
}

/** Subject of messages that stand for removed ones, until the copy is complete: sequences have no gaps otherwise. */
function fillerOf({ namespace }: CopyJob, stream: string): string {
  return optionsOf(namespace, stream, 1).subjects[0].replace(/>$/, "catga-filler");
}

async function copyStream(
  job: CopyJob,
  { name, first, next }: CopiedStream,
  last: number,
  rewrite: (message: CopiedMessage) => CopiedMessage,
): Promise<void> {
  const copy = new StreamCopy(job.nats.transport, name);
  const subject = fillerOf(job, name);
  const filler = { subject, data: new Uint8Array(), headers: {} };
  let at = Math.max(first, last + 1);
  const fillTo = async (end: number) => {
    for (; at < end; at++) await copy.write({ ...filler, sequence: at });
  };
  for (let from = at;;) {
    const messages = job.file.read(name, from);
    if (messages.length === 0) break;
    for (const message of messages) {
      await fillTo(message.sequence);
      // schedules would fire into the gaps: they are written last
      if (!isAlive(message) || message.schedule !== undefined) continue;
      const { data } = rewrite(message);
      await copy.write({ sequence: at++, subject: message.subject, data, headers: headersOf(message) });
      await job.onStep?.("wrote a message");
    }
    from = messages[messages.length - 1].sequence + 1;
  }
  await fillTo(next);
  await copy.written();
  await copy.purge(subject);
}

/** Writes the schedules, which only the log has, and which then fire: each once, also when the copy is repeated. */
async function copySchedules(job: CopyJob): Promise<void> {
  const { file, nats, namespace } = job;
  const name = streamName(namespace, "log");
  if (!file.streams().some((stream) => stream.name === name)) return;
  const copy = new StreamCopy(nats.transport, name);
  const stream = await new NatsEventLog(nats.transport).open(
    name,
    optionsOf(namespace, name, (await copy.state())!.replicas),
  );
  for (let from = noteOf(file)!.scheduled + 1;;) {
    const messages = file.read(name, from);
    if (messages.length === 0) return;
    for (const message of messages) {
      const { sequence, subject, data, schedule } = message;
      if (schedule === undefined || !isAlive(message)) continue;
      if (await stream.last(subject, { latest: true }) === undefined) {
        await copy.write({
          sequence,
          subject,
          data,
          headers: headersOf({ ...message, id: `catga-copy-${name}-${sequence}` }),
        }, false);
        await copy.written();
        await job.onStep?.("wrote a schedule");
      }
      file.setNote(NOTE, JSON.stringify({ ...noteOf(file)!, scheduled: sequence }));
    }
    from = messages[messages.length - 1].sequence + 1;
  }
}

/** Returns the options of a stream of the namespace that has this name. */
function optionsOf(namespace: string, name: string, replicas: number) {
  const kind = STREAM_KINDS.find((kind) => streamName(namespace, kind) === name)!;
  return streamOptions(namespace, kind, replicas);
}

/**
 * Returns the headers for the copy of a message: those of the original without the conditions of its append. A time to
 * live is shortened by the age of the message.
 */
function headersOf({ headers, id, left }: CopiedMessage): Record<string, string> {
  const own = Object.entries(headers ?? {}).filter(([name]) => !/^Nats-(?:Expected-|Msg-Id$|TTL$|Rollup$)/.test(name));
  return {
    ...Object.fromEntries(own),
    ...(id === undefined ? {} : { "Nats-Msg-Id": id }),
    ...(left === undefined ? {} : { "Nats-TTL": `${Math.ceil(left / 1_000)}s` }),
  };
}

const isAlive = ({ left = Infinity }: Pick<CopiedMessage | CopiedEntry, "left">): boolean => left >= LEAST_LEFT;

/** Returns the message as it stands in the copy: commits name the streams that they have read by their creation. */
function rewritten(message: CopiedMessage, namespace: string, created: ReadonlyMap<string, string>): CopiedMessage {
  if (readCommitSubject(namespace, message.subject) === undefined) return message;
  const commit = parsedJson(new TextDecoder().decode(message.data));
  if (!isRecord(commit) || !isRecord(commit.place)) return message;
  const made = created.get(commit.place.created as string);
  if (made === undefined) return message;
  // times of messages are other ones in the copy: a place without them is found by its sequence
  const { at: _, ...place } = commit.place;
  const data = new TextEncoder().encode(JSON.stringify({ ...commit, place: { ...place, created: made, time: 0 } }));
  return { ...message, data };
}

/** Compares a stream with its copy, message by message. */
async function verify(
  { file, nats, namespace }: CopyJob,
  { name, next }: CopiedStream,
  rewrite: (message: CopiedMessage) => CopiedMessage,
): Promise<CopiedPart> {
  const { replicas, last } = (await new StreamCopy(nats.transport, name).state())!;
  const stream = await new NatsEventLog(nats.transport).open(name, optionsOf(namespace, name, replicas));
  const found = messagesFrom(stream, ">", 1);
  const hashes = [createHash("sha256"), createHash("sha256")];
  let count = 0;
  const differs = (sequence: number) => {
    const message =
      `the copy of ${name} differs at the message ${sequence}. The file is as it was. Remove the streams ` +
      `of the namespace ${namespace}, and move it again`;
    return new CatgaError("UNAVAILABLE", message, { details: { stream: name, sequence } });
  };
  if (last < next - 1) throw differs(last + 1);
  let other = await found.next();
  for (let from = 0;;) {
    const messages = file.read(name, from);
    if (messages.length === 0) break;
    for (const message of messages) {
      if (message.schedule !== undefined) continue;
      const { sequence, subject } = message;
      const isThere = !other.done && other.value.sequence === sequence;
      // what has expired may be gone
      if (!isThere && (message.left ?? Infinity) < EXPIRING) continue;
      if (!isThere || other.done) throw differs(sequence);
      const own = [rewrite(message), other.value];
      for (const [i, { data }] of own.entries()) {
        hashes[i].update(`${sequence} ${i === 0 ? subject : other.value.subject} ${data.length}\n`).update(data);
      }
      count++;
      other = await found.next();
    }
    from = messages[messages.length - 1].sequence + 1;
  }
  // a repeated copy finds schedules behind, and what they have fired
  if (!other.done && other.value.sequence < next) throw differs(other.value.sequence);
  const [mine, its] = hashes.map((hash) => hash.digest("hex"));
  if (mine !== its) throw differs(next);
  return { name, count, fingerprint: mine };
}

function verifyEntries(
  name: string,
  entries: readonly CopiedEntry[],
  found: readonly { readonly key: string; readonly value: string }[],
): CopiedPart {
  const there = new Map(found.map(({ key, value }) => [key, value]));
  const hash = createHash("sha256");
  let count = 0;
  for (const { key, value, left } of entries) {
    if (there.get(key) === value) {
      hash.update(`${key.length} ${key} ${value}\n`);
      count++;
    } else if ((left ?? Infinity) >= EXPIRING) {
      throw new CatgaError("UNAVAILABLE", `the copy of ${name} differs at the entry ${key}. The file is as it was`);
    }
  }
  return { name, count, fingerprint: hash.digest("hex") };
}

/**
 * Copies a namespace into a new file, while its nodes go on: subscriptions as they were before the messages were read.
 * Nothing changes in NATS.
 */
export async function pullNamespace(
  { nats, namespace, copy }: { readonly nats: OpenedNats; readonly namespace: string; readonly copy: FileCopy },
): Promise<CopiedPart[]> {
  const log = new NatsEventLog(nats.transport);
  const parts: CopiedPart[] = [];
  // the subscriptions are read first: no position of theirs is then behind the last message that is copied
  for (const kind of ["subscriptions", "entities", "log"] as const) {
    const name = streamName(namespace, kind);
    const state = await new StreamCopy(nats.transport, name).state();
    if (state === undefined) continue;
    const options = streamOptions(namespace, kind, 1);
    const stream = await log.open(name, { ...options, replicas: state.replicas });
    copy.addStream({ name, created: state.created, next: state.last + 1 }, options);
    const hash = createHash("sha256");
    let count = 0;
    for await (const stored of messagesFrom(stream, ">", 1)) {
      if (stored.sequence > state.last) break;
      const message = { ...stored, ...timesOf(stored) };
      if (message.left !== undefined && message.left < LEAST_LEFT) continue;
      copy.addMessage(name, message);
      hash.update(`${stored.sequence} ${stored.subject} ${stored.data.length}\n`).update(stored.data);
      count++;
    }
    parts.push({ name, count, fingerprint: hash.digest("hex") });
  }
  for (const kind of ["idempotency", "snapshots"] as const) {
    const name = bucketName(namespace, kind);
    const state = await new StreamCopy(nats.transport, bucketStreamName(name)).state();
    if (state === undefined) continue;
    const bucket = await nats.store.open(name, { ...BUCKETS[kind], replicas: state.replicas });
    const entries = (await bucket.entries("")).map(({ key, value }) => ({ key, value, left: PULLED_FOR[kind] }));
    copy.addBucket(name, { direct: BUCKETS[kind].direct, replicas: 1 }, entries);
    parts.push(verifyEntries(name, entries, entries));
  }
  if (parts.length === 0) throw new CatgaError("UNAVAILABLE", `there is nothing in the namespace ${namespace}`);
  return parts;
}

/** Returns what the headers of a message say of its time to live, its schedule and its id. */
function timesOf(
  { headers = {}, time }: { readonly headers: Readonly<Record<string, string>> | undefined; readonly time: number },
): Pick<CopiedMessage, "left" | "schedule" | "id"> {
  const {
    "Nats-TTL": ttl,
    "Nats-Schedule": at,
    "Nats-Schedule-Target": target,
    "Nats-Schedule-Time-Zone": zone,
    "Nats-Schedule-TTL": own,
    "Nats-Msg-Id": id,
  } = headers;
  const seconds = (text: string | undefined) => {
    const [, count] = /^(\d+)s$/.exec(text ?? "") ?? [];
    return count === undefined ? undefined : Number(count) * 1_000;
  };
  const life = seconds(ttl);
  const later = seconds(own);
  const once = at === undefined ? undefined : /^@at (.*)$/.exec(at)?.[1];
  return {
    left: life === undefined ? undefined : time + life - Date.now(),
    id: id !== undefined && time > Date.now() - RECOGNIZED ? id : undefined,
    schedule: at === undefined || target === undefined ? undefined : {
      at: once === undefined ? at : Date.parse(once),
      target,
      ...(zone === undefined ? {} : { zone }),
      ...(later === undefined ? {} : { ttl: later }),
    },
  };
}

/** Number of results that are written at once. */
const AT_ONCE = 256;
/** Least time to live with which a message or entry is copied, in ms. */
const LEAST_LEFT = 1_000;
/** Time to live, in ms, below which a message or entry may be gone before the copy is verified. */
const EXPIRING = 120_000;
/** Time for which NATS recognizes the id of a message, in ms. */
const RECOGNIZED = 120_000;
/** Time to live of entries that were pulled, whose own is not known outside of the server, in ms. */
const PULLED_FOR = { idempotency: 86_400_000, snapshots: undefined } as const;
