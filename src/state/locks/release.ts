/** The end of holding a lock: it goes to the oldest who waits, or away. */
import { delay } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { stamp } from "../store/lease.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";
import type { SeenWaiter } from "./lock_view.ts";

/**
 * Hands over or removes the record of a holder, at the revision that is known or one that it wrote itself: never that of
 * another. Resolves after the first try; when that is not known to have worked it goes on in the background, until the
 * record has expired by itself.
 */
export async function releaseOrHandOver(
  host: LockHost,
  key: string,
  record: LockRecord,
  revision: number,
): Promise<void> {
  try {
    await tryGiveBack(host, key, record, revision);
  } catch (error) {
    if (!isAmbiguous(error)) throw error;
    if (!host.closed) host.background("giving back a lock", goOn(host, key, record, revision));
  }
}

async function goOn(host: LockHost, key: string, record: LockRecord, revision: number): Promise<void> {
  const { clock, random } = host;
  const end = clock.monotonic() + record.ttl;
  while (!host.closed && clock.monotonic() < end) {
    await delay(clock, 100 + 400 * random());
    try {
      return await tryGiveBack(host, key, record, revision);
    } catch (error) {
      if (!isAmbiguous(error)) throw error;
    }
  }
}

async function tryGiveBack(host: LockHost, key: string, record: LockRecord, revision: number): Promise<void> {
  const { keys } = host;
  const bucket = await host.bucket();
  while (true) {
    const next = host.next(key, record.nonce);
    if (next !== undefined) {
      if (await handOver(host, next, revision)) return;
    } else if (await host.answers.within(ANSWER_LIMIT, bucket.delete(keys.holder(key), { revision }))) return;
    // it may be gone by a write of ours whose acknowledgement was lost, or stand at the revision of such a one
    const entry = await host.answers.within(ANSWER_LIMIT, bucket.get(keys.holder(key)));
    if (entry === undefined || readLockRecord(entry.value)?.nonce !== record.nonce) return;
    if (entry.revision === revision) {
      throw new CatgaError("UNAVAILABLE", "a server that lags behind answered", { retryable: true });
    }
    revision = entry.revision;
  }
}

async function handOver(host: LockHost, to: SeenWaiter, revision: number): Promise<boolean> {
  const { clock, keys } = host;
  const { ttl } = to.record;
  const record: LockRecord = { ...to.record, since: clock.now(), place: undefined };
  const bucket = await host.bucket();
  const sent = stamp(clock);
  const writing = bucket.update(keys.holder(to.key), writeLockRecord(record), revision, { ttl });
  const handed = await host.answers.within(ANSWER_LIMIT, writing);
  if (handed !== undefined) host.handed(to, handed, sent);
  return handed !== undefined;
}
