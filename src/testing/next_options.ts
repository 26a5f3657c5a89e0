/** Which record a test waits for, and for how long. */
import { checkKnown, checkNumber, MAX_TIMEOUT, show } from "../data/checks.ts";

/** Whether a message was sent, published, enqueued or broadcast by an app, or handled by one. */
export type RecordType = "sent" | "published" | "enqueued" | "broadcast" | "handled";

/** Options of `Recorder.next`. */
export interface NextOptions {
  /**
   * Which records to wait for; `"published"` for an event, `"handled"` for a command or a query. `"started"`: those of handlers
   * that have begun, which have no result yet: they get it later, as `"handled"` records.
   */
  type?: RecordType | "started" | undefined;
  /** How long to wait, in ms of the cluster's time, 0 to 2^31 - 1; 30,000. */
  limit?: number | undefined;
}

/** Throws a `TypeError` or `RangeError` for invalid options. */
export function checkNextOptions(options: NextOptions): void {
  checkKnown("recorder.next", options, NEXT_OPTIONS);
  const { type, limit } = options;
  if (type !== undefined && !TYPES.has(type)) {
    throw new TypeError(`recorder.next: type must be one of ${[...TYPES].join(", ")}; got ${show(type)}`);
  }
  if (limit !== undefined) checkNumber("recorder.next: limit", limit, 0, MAX_TIMEOUT, "ms");
}

const NEXT_OPTIONS: ReadonlySet<string> = new Set<keyof NextOptions>(["type", "limit"]);
const TYPES: ReadonlySet<string> = new Set<NonNullable<NextOptions["type"]>>([
  ...["sent", "published", "enqueued", "broadcast", "handled", "started"] as const,
]);
