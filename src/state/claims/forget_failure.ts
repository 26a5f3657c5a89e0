/** Removes the recorded final failure of an idempotent command, so that its id may be tried again. */
import { unavailable } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { claimKey, readClaim } from "./claim_record.ts";

/**
 * Resolves when no failure is recorded under the id: recorded values and claims of running attempts stay. Rejects as
 * the bucket does, and with `UNAVAILABLE` if the record keeps changing.
 */
export async function forgetFailure(bucket: Bucket, contract: string, id: string): Promise<void> {
  const key = claimKey(contract, id);
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const found = await bucket.get(key);
    const record = found && readClaim(found.value);
    if (record?.state !== "done" || record.error === undefined) return;
    if (await bucket.delete(key, { revision: found!.revision })) return; // a record was found
  }
  throw unavailable(`the recorded result of ${contract} changes all the time`);
}

const MAX_ATTEMPTS = 5;
