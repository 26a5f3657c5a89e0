/** The body of a change, as a browser sends it: checked as a whole. */
import { isRecord } from "../data/is_record.ts";
import type { ChangeRequest, LetterFilter } from "./view.ts";

/** Parses it; a string says what is wrong with it. */
export function readChange(body: string): ChangeRequest | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return "the body is not JSON";
  }
  if (!isRecord(value)) return "the body is not an object";
  const { do: what, letters, matching } = value;
  if (what !== "replay" && what !== "discard") return "do is replay or discard";
  if ((letters === undefined) === (matching === undefined)) return "give one of letters and matching";
  if (matching !== undefined) {
    return isFilter(matching) ? { do: what, matching } : "matching has service, subscription, contract and code, texts";
  }
  if (!Array.isArray(letters) || letters.length === 0 || letters.length > MOST || !letters.every(isText)) {
    return `letters are 1 to ${MOST} places, texts`;
  }
  return { do: what, letters };
}

/** Letters in one request. */
const MOST = 1_000;
const FILTERS: readonly string[] = ["service", "subscription", "contract", "code"];

function isFilter(value: unknown): value is LetterFilter {
  return isRecord(value) &&
    Object.entries(value).every(([name, text]) => FILTERS.includes(name) && typeof text === "string");
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
