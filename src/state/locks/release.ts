/** The end of holding a lock: its record is handed over to the oldest waiter, or removed. */
import { delay, stamp } from "../../ports/clock.ts";
import { isAmbiguous, staleAnswer } from "../store/ambiguous_writes.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";
import type { SeenWaiter } from "./lock_view.ts";

/**
 * Hands over or removes the record of a holder, and never that of another: at the known revision, or at a later one with the
 * same nonce. Resolves after the first try; without an answer of the store it is repeated in the background, until the
 * record has expired.
 */
export async function releaseOrHandOver(
  host: LockHost,
  key: string,
  record: LockRecord,
  revision: number,
): Promise<void> {
  try {
    await tryOnce(host, key, record, revision);
  } catch (error) {
    if (!isAmbiguous(error)) throw error;
    if (!host.closed) host.background("releasing a lock", repeat(host, key, record, revision));
  }
}

async function repeat(host: LockHost, key: string, record: LockRecord, revision: number): Promise<void> {
  const { clock, random } = host;
  const end = clock.monotonic() + record.ttl;
  while (!host.closed && clock.monotonic() < end) {
    await delay(clock, 100 + 400 * random());
    try {
      return await tryOnce(host, key, record, revision);
    } catch (error) {
      if (!isAmbiguous(error)) throw error;
    }
  }
}

async function tryOnce(host: LockHost, key: string, record: LockRecord, revision: number): Promise<void> {
  const { keys } = host;
  const bucket = await host.bucket();
  while (true) {
    const next = host.next(key, record.nonce);
    if (next !== undefined) {
      if (await handOver(host, next, revision)) return;
    } else if (await host.answers.within(ANSWER_LIMIT, bucket.delete(keys.holder(key), { revision }))) return;
    // an earlier write whose acknowledgement was lost may have removed the record, or changed its revision
    const entry = await host.answers.within(ANSWER_LIMIT, bucket.get(keys.holder(key)));
    if (entry === undefined || readLockRecord(entry.value)?.nonce !== record.nonce) return;
    if (entry.revision === revision) throw staleAnswer();
    revision = entry.revision;
  }
}

/** Replaces the holder's record by one for a waiter. `false` if the revision has changed. */
async function handOver(host: LockHost, to: SeenWaiter, revision: number): Promise<boolean> {
  const { clock, keys } = host;
  const { ttl } = to.record;
  const record: LockRecord = { ...to.record, since: clock.now(), place: undefined };
  const bucket = await host.bucket();
  const sent = stamp(clock);
  const writing = bucket.update(keys.holder(to.key), writeLockRecord(record), revision, { ttl });
  const written = await host.answers.within(ANSWER_LIMIT, writing);
  if (written !== undefined) host.handedOver(to, written, sent);
  return written !== undefined;
}
