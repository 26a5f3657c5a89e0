/** Changes what operators have set of a subscription, so that changes of several operators at once are all kept. */
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { type StoredMessage, textOf } from "../../ports/event_log.ts";
import { overridesSubject } from "../format/names.ts";
import { NO_OVERRIDES, type Overrides, readOverrides, writeOverrides } from "../format/overrides.ts";
import { storeMessage } from "./requests.ts";
import type { KeptCommits } from "./stored_subscriptions.ts";

/** Reads what operators have set of a subscription. What is invalid counts as nothing, as for its leader. */
export async function overridesOf({ stream, namespace }: KeptCommits, key: string): Promise<Overrides> {
  return overridesIn(await stream.last(overridesSubject(namespace, key), { latest: true }));
}

/**
 * Changes what operators have set of a subscription. `change`: returns what is to be set instead; it may be called
 * again, with what another operator has set meanwhile. Rejects with a `CatgaError`; with the code `OUTCOME_UNKNOWN` it
 * may have been stored.
 */
export async function setOverrides(
  kept: KeptCommits,
  key: string,
  change: (now: Overrides) => Overrides,
): Promise<void> {
  const { stream, namespace, clock } = kept;
  const subject = overridesSubject(namespace, key);
  for (let attempt = 1; attempt <= MAX_CONFLICTS; attempt++) {
    const found = await stream.last(subject, { latest: true });
    const text = writeOverrides(change(overridesIn(found)));
    if (found !== undefined && textOf(found) === text) return; // also if an attempt without an answer has stored it
    if (await storeMessage(kept, subject, text, found?.sequence ?? 0)) return;
    await delay(clock, CONFLICT_PAUSE * attempt);
  }
  throw new CatgaError("UNAVAILABLE", "others change it all the time: try again", { retryable: true });
}

function overridesIn(found: StoredMessage | undefined): Overrides {
  const read = found === undefined ? NO_OVERRIDES : readOverrides(textOf(found));
  return typeof read === "string" ? NO_OVERRIDES : read;
}

const MAX_CONFLICTS = 10;
const CONFLICT_PAUSE = 20; // ms
