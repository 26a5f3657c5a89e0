import { isRecord } from "./is_record.ts";

/** Whether a value is an object all of whose members are strings. */
export function isStrings(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}
