/** Rewrites an entry that others write, too, by compare-and-set. */
import { CatgaError, isCatgaError } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";

/**
 * Writes what `change` makes of the entry's text; `undefined`: it stays as it is. Resolves with `false` if there is no entry. Rejects with
 * what `change` throws, and with `UNAVAILABLE` when the store does not answer, or when others have written all the time.
 */
export async function rewriteEntry(
  bucket: Bucket,
  key: string,
  clock: Clock,
  change: (text: string) => string | undefined,
): Promise<boolean> {
  let failure: unknown;
  for (let [tries, failures] = [0, 0]; tries < TRIES; tries++) {
    if (tries > 0) await delay(clock, Math.min(PAUSE * tries, MOST_PAUSE));
    try {
      const found = await bucket.get(key);
      if (found === undefined) return false;
      const text = change(found.value);
      // after a lost acknowledgement the text is there already
      if (text === undefined || text === found.value) return true;
      if (await bucket.update(key, text, found.revision) !== undefined) return true;
      failure = undefined;
    } catch (error) {
      if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
      failure = error;
      if (++failures === FAILURES) throw error;
    }
  }
  throw failure ?? new CatgaError("UNAVAILABLE", `others write ${key} all the time; try again`, { retryable: true });
}

/** A leader writes its record up to ten times a second. */
const TRIES = 100;
/** How often the store may fail to answer; each takes seconds. */
const FAILURES = 3;
/** Between tries, in ms. */
const [PAUSE, MOST_PAUSE] = [5, 50];
