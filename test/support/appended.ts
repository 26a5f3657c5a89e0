/** What became of appends. */
import type { Appended } from "../../src/ports/event_log.ts";

/** The sequence of what is stored; throws for what is not. */
export function sequenceOf(appended: Appended): number {
  if (appended.type === "stored") return appended.sequence;
  throw new Error(`it is ${appended.type}`);
}
