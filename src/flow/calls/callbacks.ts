/**
 * Completes callbacks of runs, for whoever has the token (`app.complete`, the edge). The outcome is stored in the run,
 * as a signal is, if its callback is open at that moment: so the first of several outcomes counts. What an answer says
 * of a token that the run has not made is the same for each such token: it tells nothing about runs.
 */
import { isFailure, type Result } from "../../contract/calls/result.ts";
import { CatgaError } from "../../error.ts";
import { type Journal, outcomeText } from "../stored/journal.ts";
import { callbackKey, type RecordedOutcome } from "../stored/journal_entry.ts";
import { isMadeBy, type NamedCallback, readToken } from "../stored/callback_token.ts";
import { decided } from "../stored/recorded_error.ts";
import { copyOf } from "../stored/recorded_value.ts";
import type { RunsNode } from "../runs_node.ts";
import { failed, failedWith, inTime } from "./run_answers.ts";
import type { RunNotices } from "./run_notices.ts";

/** Completes a callback with a value, or with a failure; implements `complete`. */
export async function completeCallback(
  node: RunsNode,
  notices: RunNotices,
  token: string,
  given: unknown,
): Promise<Result<void, never>> {
  if (typeof token !== "string") throw new TypeError("complete takes the token of a callback, which is a text");
  const completed = await completion(node, notices, token, given);
  node.app.observer({ type: "callback", code: completed.error?.code });
  return completed;
}

async function completion(
  node: RunsNode,
  notices: RunNotices,
  token: string,
  given: unknown,
): Promise<Result<void, never>> {
  const callback = readToken(token);
  if (callback === undefined) return ANSWERS.none;
  let outcome: RecordedOutcome;
  try {
    outcome = outcomeOf(given, node.log.mostBytes);
  } catch (cause) {
    return failed("INVALID_MESSAGE", `the callback cannot be completed: ${(cause as Error).message}`, cause);
  }
  return await inTime(node, "complete", complete(node, notices, callback, outcome).catch(failedWith));
}

async function complete(
  node: RunsNode,
  notices: RunNotices,
  callback: NamedCallback,
  outcome: RecordedOutcome,
): Promise<Result<void, never>> {
  const { log } = node;
  const { ref, step, life } = callback;
  const read = async () => stateOf(await log.load(ref), callback, outcome);
  const first = await log.patient(read, node.callerTime());
  if (first !== "open") return ANSWERS[first];
  const told = await notices.append(ref, async (by) => {
    // read once more: the entry is stored only if no other message of the run is stored after this read
    const state = await read();
    if (state !== "open") throw STOPPED[state];
    return { t: "completed", step, life, outcome, by };
  });
  // the run has ended since; it may have had this outcome by an earlier attempt
  if (told.error?.code === "NO_RUN") return ANSWERS[await log.patient(read, node.callerTime())];
  return told.error === STOPPED.repeated ? ANSWERS.repeated : told;
}

/**
 * State of a callback. "repeated": it was completed with this outcome; "ended": with another one, or its time, life or
 * run is over; "none": the run has made no such callback, or is no more.
 */
type CallbackState = "open" | "repeated" | "ended" | "none";

function stateOf(journal: Journal | undefined, callback: NamedCallback, outcome: RecordedOutcome): CallbackState {
  if (journal?.secret === undefined || !isMadeBy(journal.secret, callback)) return "none";
  const { life, step } = callback;
  const before = journal.completed.get(callbackKey(life, step));
  if (before !== undefined) return before.outcome === outcomeText(outcome) ? "repeated" : "ended";
  return journal.isOpenCallback(life, step) ? "open" : "ended";
}

/** Makes the record of what a callback is completed with. Throws for a value that cannot be stored. */
function outcomeOf(given: unknown, mostBytes: number): RecordedOutcome {
  if (isFailure(given)) return { ok: false, error: decided(given.error, "the callback", mostBytes) };
  return { ok: true, value: copyOf(given, "the value", mostBytes) };
}

const NONE = new CatgaError("NO_CALLBACK", "there is no callback with this token");
const ENDED = new CatgaError(
  "CALLBACK_ENDED",
  "the callback has ended: it was completed with another outcome before, or its time, or its run, is over",
);
/** Answers, by the state of the callback. */
const ANSWERS: Readonly<Record<CallbackState, Result<void, never>>> = {
  open: failedWith(ENDED), // the run ended between two reads
  repeated: { ok: true, value: undefined },
  ended: failedWith(ENDED),
  none: failedWith(NONE),
};
/** Errors that keep an entry from being stored, by the state of the callback. */
const STOPPED = { repeated: new CatgaError("CONFLICT", "completed already"), ended: ENDED, none: NONE };
