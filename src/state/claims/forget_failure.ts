/**
 * Removes the recorded final failure of an idempotent command, so that the command may be tried again under the same
 * id.
 */
import { unavailable } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { claimKey, readClaim } from "./claim_record.ts";

/**
 * Resolves when no failure is recorded for the command's id. Recorded values and claims of running attempts stay.
 * Rejects as the bucket does, and with `UNAVAILABLE` if the record keeps changing.
 */
export async function forgetFailure(bucket: Bucket, contract: string, id: string): Promise<void> {
  const key = claimKey(contract, id);
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const found = await bucket.get(key);
    const record = found && readClaim(found.value);
    if (record?.state !== "done" || record.error === undefined) return;
    if (await bucket.delete(key, { revision: found!.revision })) return; // `found` is set: a failure was read from it
  }
  throw unavailable(`the recorded result of ${contract} changes all the time`);
}

const MAX_ATTEMPTS = 5;
