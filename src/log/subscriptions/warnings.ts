/** Warnings about one subscription, each with a limit of how often it is reported. */
import type { SubscriptionHealth, SubscriptionPause } from "../../contract/nodes/node_info.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { thrownMessage } from "../../data/cause_text.ts";
import { show } from "../../data/checks.ts";
import { listed, printable } from "../../data/printable.ts";
import { CatgaError } from "../../error.ts";
import { dateOf, OnceAMinute } from "../../ports/clock.ts";
import type { LogLoss } from "../../ports/event_log.ts";
import { endsIn, type LoggedMessage } from "../format/logged_message.ts";
import type { LogHost } from "../log_host.ts";
import type { Item } from "./category.ts";

/** A category (contract) of which a subscription skips stored messages. */
export interface SkippedCategory {
  readonly name: string;
  /** Message to which `time` belongs. If later messages are handled, the time of the last skipped one is not known. */
  readonly which: "first" | "last";
  /** Time at which the message was stored, in ms since 1970. */
  readonly time: number;
}

/** Reports observations of one subscription to the node's observers. */
export class Warnings {
  readonly label: string;
  readonly #host: Pick<LogHost, "clock" | "observer">;
  readonly #reports: OnceAMinute;
  /** True while the subscription hands nothing out for lack of room; set by {@link Warnings.stop}. */
  stopped = false;

  constructor(host: Pick<LogHost, "clock" | "observer">, label: string) {
    this.#host = host;
    this.#reports = new OnceAMinute(host.clock);
    this.label = label;
  }

  /**
   * Reports that the subscription hands nothing out. `error`: the reason; `undefined`: there is room again.
   */
  stop(error: CatgaError | undefined): void {
    this.stopped = error !== undefined;
    this.state(error === undefined ? "going on" : "stopped", error?.message);
  }

  state(state: Extract<Observation, { type: "subscription" }>["state"], reason?: string): void {
    this.#host.observer({ type: "subscription", subscription: this.label, state, reason });
  }

  /**
   * Reports categories (contracts) that begin now although the log has messages of them, which nobody will handle.
   * `isNew`: the subscription is new; false: only these categories are.
   */
  passesOver(categories: readonly SkippedCategory[], isNew: boolean): void {
    if (categories.length === 0) return;
    const shown = categories.map(({ name, which, time }) =>
      `${printable(name)}, the ${which} of ${new Date(time).toISOString()}`
    );
    const why = isNew ? "it is new" : `it handles ${listed(categories.map(({ name }) => printable(name)))} from now on`;
    this.state("begun", `${why}, and skips the stored messages of ${listed(shown, "; ")}`);
  }

  /** Reports categories (contracts) whose `from: "start"` has no effect, because the subscription exists already. */
  ignoresFrom(categories: readonly string[]): void {
    if (categories.length === 0) return;
    this.state("existing", `from "start" has no effect on ${listed(categories.map(printable))}`);
  }

  /** Reports the beginning of an outage of a service that handlers call; `undefined`: the outage has ended. */
  outage(outage: SubscriptionHealth["outage"]): void {
    if (outage === undefined) return this.state("going on");
    const { contract, code, message } = outage;
    this.state("waiting", `${contract} failed (${code}: ${printable(message)}); attempts do not count meanwhile`);
  }

  /** Reports that an operator has paused the subscription; `undefined`: it goes on. */
  paused(pause: SubscriptionPause | undefined): void {
    if (pause === undefined) return this.state("going on");
    const { since, until, reason } = pause;
    const ends = until === undefined ? "until it is resumed (catga subscriptions resume)" : `until ${timeText(until)}`;
    this.state("paused", `since ${timeText(since)}, ${ends}${reason === undefined ? "" : `: ${printable(reason)}`}`);
  }

  /** Reports that later messages of a key stay in the log, because many are parked behind one that has failed. */
  left({ category: { name }, key, dead, error, line }: Item): void {
    if (!this.#reports.due(`left ${name} ${key}`, WARNING_PAUSE)) return;
    const cause = error === undefined ? "" : ` (${error.code})`;
    const [which, advice] = dead > 0
      ? ["a dead letter", ": replay or discard it (catga dead)"]
      : ["one that fails", ""];
    const others = `${line?.size ?? 0} messages of ${printable(name)} with the key ${show(key)}`;
    this.state("waiting", `${others} wait behind ${which}${printable(cause)}, and later ones in the log${advice}`);
  }

  loss({ reason, after, next }: LogLoss): void {
    this.#host.observer({ type: "log-lost", subscription: this.label, reason, after, next });
  }

  /** Reports categories (contracts) whose start position was behind the end of the log, and was moved back. */
  beyond(categories: readonly string[]): void {
    const shown = printable(categories.slice(0, 3).join(", ").slice(0, 200));
    const text =
      `its record has ${categories.length} categories that begin behind the end of the log (${shown}); they begin behind the last message read`;
    this.fault("reading the record", new CatgaError("INVALID_MESSAGE", text));
  }

  /** Reports how many open messages (read and not handled) the log no longer has, if any. */
  missing(count: number): void {
    this.#host.observer({ type: "log-lost", subscription: this.label, reason: "expired", after: 0, next: 0, count });
  }

  /**
   * Reports an error, at most once a minute for the same operation (`during`) and text; texts that differ only in
   * numbers count as the same.
   */
  fault(during: string, error: unknown): void {
    const text = thrownMessage(error).replaceAll(/\d+/g, "0");
    if (this.#reports.due(`fault ${during} ${text}`)) {
      this.#host.observer({ type: "fault", during: `${during} of subscription ${this.label}`, error });
    }
  }

  /**
   * Warns if the log will soon remove `oldest`, the oldest message that is not handled, and if messages wait because no
   * live node handles their category: `unhandled` returns the names of such categories. Call often.
   */
  check(oldest: LoggedMessage | undefined, now: number, unhandled: () => readonly string[]): void {
    if (!this.#reports.due("check", SECOND)) return;
    const left = oldest && endsIn(oldest, now);
    if (oldest !== undefined && left !== undefined && this.#reports.due("expiry", WARNING_PAUSE)) {
      const { category: contract, id } = oldest;
      this.#host.observer({ type: "near-expiry", subscription: this.label, contract, id, left });
    }
    for (const name of unhandled()) {
      if (this.#reports.due(`held ${name}`, WARNING_PAUSE)) {
        const advice = "start one, or pass its messages by with a rewind to now (catga rewind)";
        this.state("waiting", `no live node handles ${name}: ${advice}`);
      }
    }
  }
}

function timeText(time: number): string {
  return dateOf(time).toISOString();
}

const SECOND = 1_000; // ms
/** Time between two warnings of messages that expire, or that no live node handles, in ms. */
const WARNING_PAUSE = 600_000;
