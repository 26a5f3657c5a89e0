/** Section of the page: the numbers at its top, for an overview. */
import type { ContractView, LockView, SubscriptionView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";

/**
 * Makes the numbers at the top of the page. The function's source text is embedded in the page's script, so it may
 * use only its parameters and browser globals.
 */
export function tilesSection({ byId, filled, make, say, count, latency, rate, some }: Elements): Shows {
  const nodes = tile("Nodes");
  const runs = tile("Runs/s");
  const failing = tile("Failing/s");
  const slowest = tile("Slowest p99");
  const lag = tile("Lag");
  const read = tile("Read/s");
  const retrying = tile("Retrying");
  const dead = tile("Dead letters");
  const waiters = tile("Lock waiters");
  let cycles = 0;

  return {
    nodes({ counts: { live, suspect, gone, drained }, cycles: ended }) {
      cycles = ended;
      const troubled = Object.entries({ drained, suspect, gone }).filter(([, n]) => n > 0);
      const note = troubled.map(([state, n]) => `${count(n)} ${state}`).join(", ");
      nodes(count(live), note || (live === 0 ? "none" : "all answer"), gone > 0 ? "bad" : suspect > 0 ? "warn" : "");
    },
    contracts({ shown }) {
      const sum = (of: (each: ContractView) => number) => total(shown, of);
      const [all, refusing] = [sum((each) => each.rate), sum((each) => each.refusing)];
      runs(rate(all), `${count(sum((each) => each.inHand))} in hand`);
      const errors = Math.max(0, sum((each) => each.failing) - refusing);
      const share = all === 0 ? "none" : `${((100 * errors) / all).toFixed(1)} % of all`;
      failing(rate(errors), refusing === 0 ? share : `${rate(refusing)} declined`, errors > 0 ? "bad" : "");
      const last = shown.reduce((a, b) => ((b.p99 ?? 0) > (a?.p99 ?? 0) ? b : a), shown[0]);
      slowest(latency(last?.p99 ?? undefined), last?.p99 ? last.name : "no runs");
    },
    subscriptions({ shown }) {
      const sum = (of: (each: SubscriptionView) => number) => total(shown, of);
      const [unread, again] = [sum((each) => each.lag), sum((each) => each.retrying)];
      const behind = shown.filter((each) => each.lag > 0).length;
      lag(count(unread), unread === 0 ? "all is read" : `${count(behind)} behind`, unread > 0 ? "warn" : "");
      read(rate(sum((each) => each.rate)), "log messages");
      retrying(count(again), "messages", again > 0 ? "warn" : "");
    },
    letters({ shown, total }) {
      const tone = shown.some(({ business }) => !business) ? "bad" : total > 0 ? "warn" : "";
      dead(count(total), total === 0 ? "none" : "to be looked at", tone);
    },
    locks({ shown }) {
      const waiting = total(shown, (each: LockView) => each.waiting);
      const held = shown.filter(({ kind, holder }) => kind === "lock" && holder !== "").length;
      const deadlocks = cycles === 0 ? "" : `, ${some(cycles, "deadlock")} ended`;
      waiters(count(waiting), `${count(held)} held${deadlocks}`, waiting > 0 ? "warn" : "");
    },
  };

  function total<T>(all: readonly T[], of: (each: T) => number): number {
    return all.reduce((sum, each) => sum + of(each), 0);
  }

  /** Makes a field for one number with this title. Returns a function that sets the number, a note and a CSS class. */
  function tile(title: string): (value: string, note: string, tone?: string) => void {
    const [value, note] = [make("dd", "-"), make("dd", "", { class: "note" })];
    byId("tiles").append(filled(make("div"), make("dt", title), value, note));
    return (text, more, tone = "") => {
      say(value, text);
      if (value.className !== tone) value.className = tone;
      say(note, more);
    };
  }
}
