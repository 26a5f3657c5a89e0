/** A subscription of which nothing is stored. */
import type { LogState } from "../../ports/event_log.ts";
import type { Head } from "../format/commit.ts";
import { endOf } from "../format/position.ts";
import type { SubscriptionSpec } from "./spec.ts";

/** Begins where each category says: now, or at the start. `state`: that of the stream, if there is one. */
export function firstHead({ categories }: SubscriptionSpec, state: LogState | undefined): Head {
  const now = state === undefined ? 0 : endOf(state.last);
  const began = [...categories].map(([category, { from }]) => [category, from === "start" ? 0 : now]);
  const start = state === undefined || [...categories.values()].some(({ from }) => from === "start");
  return {
    leader: "",
    token: 0,
    place: start
      ? { created: "", read: 0, time: 0, epoch: 0 }
      : { created: state.created, read: now, time: 0, at: state.now, epoch: 0 },
    open: [],
    began: Object.fromEntries(began),
    requests: 0,
    doubt: undefined,
  };
}
