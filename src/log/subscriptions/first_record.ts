/** The record of a subscription that has none. */
import type { LogState, LogStream } from "../../ports/event_log.ts";
import { endOf } from "../format/position.ts";
import type { SubscriptionRecord } from "../format/subscription_record.ts";
import type { SubscriptionSpec } from "./spec.ts";

/** Begins where each category says: now, or at the start. `state`: that of the stream, if there is one. */
export function firstRecord(
  { service, name, categories }: SubscriptionSpec,
  stream: LogStream,
  state: LogState | undefined,
): SubscriptionRecord {
  const now = state === undefined ? 0 : endOf(state.last);
  const began = [...categories].map(([category, { from }]) => [category, from === "start" ? 0 : now]);
  const start = state === undefined || [...categories.values()].some(({ from }) => from === "start");
  return {
    service,
    name,
    leader: "",
    token: 0,
    generation: 0,
    takeovers: 0,
    began: Object.fromEntries(began),
    streams: {
      [stream.name]: {
        created: start ? "" : state.created,
        read: start ? 0 : now,
        time: 0,
        open: [],
        ...(start ? {} : { at: state.now }),
      },
    },
  };
}

/** In place of a record that cannot be read: all that the log has, so that nothing is passed over. */
export function recordFromStart(spec: SubscriptionSpec, stream: LogStream): SubscriptionRecord {
  return { ...firstRecord(spec, stream, undefined), leader: "?" };
}
