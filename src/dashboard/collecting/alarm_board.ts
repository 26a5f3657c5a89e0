/**
 * Computes the alarms of a cluster, and keeps a timeline of events in it. The parts of the cluster's state are set
 * whenever they are read; alarms are computed from the newest of each.
 */
import {
  ADVICE,
  type Alarm,
  alarmsOf,
  declaredName,
  GROWN,
  keyOf,
  type Lag,
  lagOf,
  type Observed,
  type ObservedContract,
  type ObservedRetry,
  type ObservedSubscription,
} from "../../contract/nodes/alarms.ts";
import { drivenWorkflow } from "../../contract/declaration/workflow.ts";
import { COMMANDS } from "../../contract/nodes/announcement.ts";
import type { SubscriptionInfo } from "../../contract/calls/durable_messages.ts";
import type { ContractRates } from "./contract_rates.ts";
import type { NodeBook } from "./node_book.ts";
import { shownCount, shownLines, shownText } from "../shown.ts";
import { shownOverride, shownPause } from "./shown_pauses.ts";
import type { AlarmView, FoundRuns, LetterGroup, RetryView, ServerView, TimelineEntry } from "../view.ts";

/** The alarms and the timeline of a cluster. */
export class AlarmBoard {
  nodes: NodeBook["observed"] = [];
  /** Alarms that only nodes can notice, as the nodes report them. */
  others: readonly Alarm[] = [];
  server: ServerView | undefined;
  retries: readonly RetryView[] = [];
  /** Workflow runs of which a step waits for its next attempt. */
  retriedRuns: readonly ObservedRetry[] = [];
  /** Workflow runs that are stuck, and if there are `more`; `undefined`: they were not read. */
  runs: FoundRuns | undefined;
  #disconnected: { readonly since: number } | undefined;
  #contracts: readonly ObservedContract[] = [];
  #subscriptions: readonly ObservedSubscription[] = [];
  /** Number of messages that wait for a queued command, by the command's name. */
  #queued = new Map<string, number>();
  #groups: readonly LetterGroup[] = [];
  #alarms: readonly Alarm[] = [];
  /** Contracts without a present handler: the nodes that last handled each, and the time since which it has none. */
  readonly #away = new Map<string, { readonly last: readonly string[]; readonly since: number; signedOff: boolean }>();
  readonly #lags = new Map<string, Lag>();
  /** Leaders of subscriptions and streams, by the name of the subscription or stream. */
  readonly #leaders = new Map<string, string>();
  #timeline: readonly TimelineEntry[] = [];
  #n = 0;

  get timeline(): readonly TimelineEntry[] {
    return this.#timeline;
  }

  /** Adds an entry to the timeline. `what`: kind of the event; `about`: text. */
  note(at: number, what: string, about: string): void {
    this.#timeline = [{ n: ++this.#n, at, what, about }, ...this.#timeline.slice(0, MAX_ENTRIES - 1)];
  }

  connected(now: number, connected: boolean): void {
    if (connected) this.#disconnected = undefined;
    else this.#disconnected ??= { since: now };
  }

  /** Sets, for each contract, the nodes that handle it and the recent outcomes of its messages. */
  contracts(handlers: NodeBook["handlers"], rates: ContractRates["observed"]): void {
    for (const [name, { now, last, since, signedOff }] of handlers) {
      const known = this.#away.get(name);
      if (now.length > 0) this.#away.delete(name);
      // `signedOff` stays true: a process may end before its record is deleted
      else if (known !== undefined) known.signedOff ||= signedOff;
      else if (this.#away.size < MAX_CONTRACTS) this.#away.set(name, { last, since, signedOff });
    }
    const names = new Set([...handlers.keys(), ...rates.keys(), ...this.#away.keys(), ...this.#queued.keys()]);
    this.#contracts = [...names].flatMap((name): ObservedContract[] => {
      const now = handlers.get(name)?.now.length ?? 0;
      const { last = [], since, signedOff = false } = this.#away.get(name) ?? {};
      const { failures = {}, wanted = false, cause } = rates.get(name) ?? {};
      const waiting = this.#queued.get(name) ?? 0;
      // no alarm: the contract is only published
      if (now === 0 && last.length === 0 && waiting === 0 && !wanted) return [];
      return [{
        name: shownText(name),
        handlers: now,
        last: last.slice(0, NAMED),
        since,
        signedOff,
        wanted,
        waiting,
        failures,
        cause: this.#causeOf(name) ?? (cause && shownText(cause, 400)),
      }];
    });
  }

  /** Sets the states of the subscriptions, and the groups of their dead letters. */
  subscriptions(now: number, infos: readonly SubscriptionInfo[], groups: readonly LetterGroup[]): void {
    this.#groups = groups;
    this.#queued = new Map();
    this.#subscriptions = infos.flatMap((info): ObservedSubscription[] => {
      const { service, name, lag, open, retrying, dead, ends, leader, abandoned, paused, overrides } = info;
      const label = shownText(`${service}/${name}`);
      this.#elected(now, `subscription ${label}`, leader);
      const known = lagOf(this.#lags.get(label), lag, now);
      this.#lags.set(label, known);
      const waiting = lag + open + retrying;
      if (abandoned && service === COMMANDS) {
        // waiting messages without a node are part of the alarm that no node handles the command
        this.#queued.set(name, waiting);
        return [];
      }
      const full = retrying + dead >= MAX_PARKED;
      const group = groups.find((each) => each.service === shownText(service) && each.subscription === shownText(name));
      const parked = `${shownCount(dead)} messages failed for good and ${shownCount(retrying)} wait`;
      return [{
        ...{ label, lag: abandoned ? waiting : lag, abandoned, growing: known.grown >= GROWN, ends },
        ...{ paused: paused && shownPause(paused), overrides: overrides?.map(shownOverride) },
        ...{ open: abandoned ? 0 : open + retrying },
        ...(full ? { stopped: `${parked}; there is no room for more.` } : {}),
        cause: group === undefined ? undefined : causeOf(group),
      }];
    });
  }

  /** Sets the leaders of the streams, and adds elections (changes of leader) to the timeline. */
  elections(now: number, { streams }: ServerView): void {
    for (const { name, leader } of streams) this.#elected(now, `stream ${name}`, leader || undefined);
  }

  /** Computes the present alarms. */
  view(now: number): readonly AlarmView[] {
    const { runs, more } = this.runs ?? { runs: [], more: false };
    const observed: Observed = {
      now,
      disconnected: this.#disconnected,
      nodes: this.nodes,
      contracts: this.#contracts,
      subscriptions: this.#subscriptions,
      letters: this.#groups.map((group) => ({
        ...group,
        subscription: `${group.service}/${group.subscription}`,
        why: group.code === "HANDLER_FAILED" ? group.cause : `${group.code}: ${group.cause}`,
        cause: causeOf(group),
      })),
      retrying: [...retriesOf(this.retries), ...this.retriedRuns],
      streams: this.server?.streams ?? [],
      store: this.server?.store,
      runs: runs.map(({ workflow, id, since, pending }) => ({ workflow, run: id, since, why: pending })),
      hasMoreRuns: more,
      // alarms of nodes about stuck runs are left out if runs were read here: a node does not see that a run goes on
      // at another node
      others: this.others.filter(({ kind }) => kind !== "run-stuck" || this.runs === undefined).map(shownAlarm),
    };
    const alarms = alarmsOf(observed, this.#alarms);
    const before = new Set(this.#alarms.map(keyOf));
    const after = new Set(alarms.map(keyOf));
    for (const alarm of alarms) if (!before.has(keyOf(alarm))) this.note(now, "alarm", `${alarm.kind} ${alarm.about}`);
    for (const alarm of this.#alarms) {
      if (!after.has(keyOf(alarm))) this.note(now, "over", `${alarm.kind} ${alarm.about}`);
    }
    this.#alarms = alarms;
    return alarms.slice(0, SHOWN).map((alarm) => ({ ...alarm, advice: ADVICE[alarm.kind] }));
  }

  /** Returns the stored cause of the last failure of a contract's handler; `undefined`: none is stored. */
  #causeOf(contract: string): string | undefined {
    const shown = shownText(contract);
    const letter = this.#groups.find((group) => group.contract === shown);
    if (letter !== undefined) return causeOf(letter);
    const retry = this.retries.find((each) => each.contract === shown && each.code !== "");
    return retry && `${retry.code}: ${retry.error}\n${retry.cause}`.trimEnd();
  }

  #elected(now: number, what: string, leader: string | undefined): void {
    const before = this.#leaders.get(what);
    if (leader === undefined || leader === before) return;
    this.#leaders.set(what, leader);
    if (before !== undefined) this.note(now, "elected", `${shownText(leader, 60)} leads the ${what}`);
  }
}

function causeOf({ cause, stack, code }: LetterGroup): string {
  return stack === "" ? `${code}: ${cause}` : stack;
}

/** Returns the messages that failed and wait for their next attempt, those of one subscription and contract as one. */
function retriesOf(retries: readonly RetryView[]): readonly ObservedRetry[] {
  // messages that drive runs of workflows are left out: the runs say what they wait for
  const failed = retries.filter(({ code, contract }) => code !== "" && drivenWorkflow(contract) === undefined);
  return [...Map.groupBy(failed, (each) => `${each.service}/${each.subscription} ${each.contract}`).values()].map(
    (own) => {
      const [{ service, subscription, contract, code, error, cause }] = own;
      const label = `${service}/${subscription}`;
      return {
        about: declaredName(contract),
        subscription: label,
        count: own.length,
        code,
        message: error,
        cause: `${code}: ${error}\n${cause}`,
      };
    },
  );
}

/** Returns an alarm that another process has reported, with its texts made safe to show. */
function shownAlarm(alarm: Alarm): Alarm {
  const { about, message, cause } = alarm;
  return {
    ...alarm,
    about: shownText(about, 200),
    message: shownText(message, 1_000),
    cause: cause === undefined ? undefined : shownLines(cause),
  };
}

/** Number of parked messages at which a subscription is full and reads no further. */
const MAX_PARKED = 10_000;
/** Maximum number of entries of the timeline. */
const MAX_ENTRIES = 200;
/** Maximum number of alarms that are shown. */
const SHOWN = 100;
const MAX_CONTRACTS = 5_000;
/** Maximum number of nodes that are named in an alarm. */
const NAMED = 3;
