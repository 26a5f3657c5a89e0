/**
 * Common form of all that is stored of a subscription: a JSON object of version 1. Anybody with access can write one,
 * so it is validated.
 */
import { isRecord } from "../../data/checks.ts";

/** Parses the text of a record. Returns a string that says what is wrong with it if it is invalid. */
export function readRecord(text: string): Readonly<Record<string, unknown>> | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "no JSON";
  }
  if (!isRecord(value)) return "no object";
  return value.v === 1 ? value : "of another version";
}
