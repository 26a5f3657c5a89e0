/**
 * `limits`: lists the limits of subscriptions, with what runs and waits; pauses one or a key of it, and sets its
 * numbers, until that is taken back.
 * @decides `catga limits`: which columns and lines a limit has, and which names choose one
 */
import { MAX_LIMIT_NUMBER, MAX_RATE_TIME } from "../../contract/declaration/handler.ts";
import { plainLimitName } from "../../contract/nodes/announcement.ts";
import type { LimitHealth, LimitOverride } from "../../contract/nodes/node_info.ts";
import type { Administration } from "../../log/administration/administration.ts";
import type { LimitInfo, LimitSummary } from "../../log/administration/limits.ts";
import { show } from "../../data/checks.ts";
import { printable } from "../../data/printable.ts";
import { dateOf } from "../../ports/clock.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { readDuration, showDuration } from "../terminal/duration.ts";
import { type FlagName, type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { Listing, print } from "../terminal/listing.ts";
import { pauseText } from "../terminal/pause_text.ts";

/** The `limits` command of the tool. */
export const limits: CliCommand = {
  name: "limits",
  words: "[VERB NAME]",
  summary: "what runs and waits for a limit; pauses or sets one",
  flags: ["service", "subscription", "key", "running", "per", "burst", "for", "reason", "timeout"],
  more: `
RUNNING is how many messages of the limit run, of how many at most; PER how many
begin in a time; WAITING how many wait for the limit, and KEYS are the keys in
use. Below stand the keys of which most wait, and what operators have set. NAME
is the name of the limit; of one without a name the contract and its place among
the limits of the handler, such as Paid/0.

\`limits pause NAME\` has none of its messages begin until \`resume NAME\`, over
restarts and deploys; or --for 10m; with --key only those of one key. What runs
ends; other messages go on. \`limits set NAME --running 3\`, or --per 100/1s and
--burst 5, counts in place of what the program says, whatever is deployed, until
\`clear NAME\`, which ends all pauses of the limit, too. --service and
--subscription say which one is meant, if several have a limit of this name.`,
  async run([verb, name], flags, terminal) {
    if (verb !== undefined && (!Object.hasOwn(VERBS, verb) || name === undefined)) {
      throw new UsageError("usage: catga limits [pause|resume|set|clear NAME]");
    }
    const allowed = verb === undefined ? LISTING_FLAGS : VERBS[verb];
    for (const flag of OWN_FLAGS) {
      if (flags.has(flag) && !allowed.has(flag)) {
        throw new UsageError(`--${flag} is not for limits ${verb ?? ""}`.trim());
      }
    }
    const change = verb === undefined ? undefined : changeOf(verb, flags);
    return await ClusterView.during(flags, terminal, async (view) => {
      const administration = view.administration();
      const all = await administration.limits();
      const json = flags.has("json");
      if (change !== undefined && name !== undefined) {
        const info = findLimit(all, name, flags);
        const { service, subscription, limit } = info;
        const text = await change(administration, info);
        print(terminal, json, { [`${verb}`]: { service, subscription, limit } }, `${text}: ${labelOf(info)}`);
        return DONE;
      }
      const shown = all.filter((info) => isMeant(info, flags));
      const health = await healthOf(view, shown, flags.duration("timeout") ?? ANSWER_TIMEOUT);
      const listing = new Listing(terminal, json, COLUMNS);
      for (const info of shown) {
        const now = health.get(labelOf(info));
        const { leader: _, ...own } = info;
        listing.add({ ...own, ...now, name: undefined }, cells(info, now));
      }
      listing.end(`no limits ${view.place}`);
      for (const info of json ? [] : shown) {
        for (const text of linesOf(info, health.get(labelOf(info)))) terminal.say(printable(text));
      }
      return DONE;
    });
  },
};

/** A verb that changes a limit. Resolves with what was done, for printing. */
type LimitVerb = (administration: Administration, info: LimitInfo) => Promise<string>;

function changeOf(verb: string, flags: Flags): LimitVerb {
  const key = flags.text("key");
  if (verb === "pause") {
    const options = { key, reason: flags.text("reason"), for: flags.duration("for") };
    return async (administration, info) => {
      await administration.pauseLimit(info, options);
      return key === undefined ? "paused" : `paused for the key ${show(key)}`;
    };
  }
  if (verb === "resume") {
    return async (administration, info) => {
      const { paused, keys = [] } = info.override ?? {};
      if (key === undefined ? paused === undefined : !keys.some((each) => each.key === key)) {
        const held = keys.map((each) => show(each.key)).join(", ");
        const what = key === undefined ? labelOf(info) : `the key ${show(key)} of ${labelOf(info)}`;
        throw new Error(`${what} is not paused${held === "" ? "" : `; these keys are: ${held} (--key)`}`);
      }
      await administration.resumeLimit(info, key);
      return key === undefined ? "resumed" : `resumed for the key ${show(key)}`;
    };
  }
  if (verb === "clear") {
    return async (administration, info) => {
      await administration.clearLimit(info);
      return "as the program says";
    };
  }
  const numbers = numbersOf(flags);
  return async (administration, info) => {
    await administration.setLimit(info, numbers);
    return `set (${numbersText(numbers)})`;
  };
}

function numbersOf(flags: Flags): LimitSummary {
  const [running, burst] = [flags.number("running", 1, MAX_LIMIT_NUMBER), flags.number("burst", 1, MAX_LIMIT_NUMBER)];
  const per = flags.text("per");
  if (running === undefined && burst === undefined && per === undefined) {
    throw new UsageError("limits set needs --running N, --per N/TIME or --burst N");
  }
  return {
    ...(running !== undefined && { running }),
    ...(per !== undefined && { per: readRate(per) }),
    ...(burst !== undefined && { burst }),
  };
}

/** Reads a rate such as 100/1s. */
function readRate(text: string): readonly [count: number, ms: number] {
  const [, count, time = ""] = /^(\d{1,7})\/(.+)$/.exec(text) ?? [];
  const ms = readDuration(/^[a-z]/.test(time) ? `1${time}` : time);
  const isWithin = (value: number, most: number) => value >= 1 && value <= most;
  if (ms === undefined || !isWithin(ms, MAX_RATE_TIME) || !isWithin(Number(count), MAX_LIMIT_NUMBER)) {
    throw new UsageError(
      `--per needs a number of messages and a time of a day at most, such as 100/1s or 5/m; got ${show(text)}`,
    );
  }
  return [Number(count), Math.round(ms)];
}

/** Finds the limit that an argument names. Throws an `Error` if there is none, or there are several. */
function findLimit(all: readonly LimitInfo[], name: string, flags: Flags): LimitInfo {
  const found = all.filter((info) => info.limit === name && isMeant(info, flags));
  if (found.length === 1) return found[0];
  if (found.length > 1) {
    const labels = found.map((info) => `${info.service}/${info.subscription}`).join(", ");
    throw new Error(`several subscriptions have a limit ${name}: give --service or --subscription: ${labels}`);
  }
  throw new Error(`there is no limit ${name}; there are ${all.map(labelOf).join(", ") || "none"}`);
}

function isMeant({ service, subscription }: LimitInfo, flags: Flags): boolean {
  const [owner, name] = [flags.text("service"), flags.text("subscription")];
  return (owner === undefined || owner === service) &&
    (name === undefined || name === subscription || name === `${service}/${subscription}`);
}

/** Asks the leaders what runs, and what waits. What does not answer in `ms` is left out. */
async function healthOf(
  view: ClusterView,
  infos: readonly LimitInfo[],
  ms: number,
): Promise<ReadonlyMap<string, LimitHealth>> {
  const leaders = new Set(infos.flatMap(({ leader }) => leader === "" ? [] : [leader]));
  const asker = view.asker();
  const told = await Promise.all([...leaders].map((leader) => asker.stats(leader, ms)));
  asker[Symbol.dispose]();
  const led = told.flatMap((answer) => answer.type === "stats" ? answer.stats.limits ?? [] : []);
  return new Map(
    led.flatMap(({ subscription, limits }) =>
      limits.map((each) => [`${subscription} ${plainLimitName(each.name)}`, each] as const)
    ),
  );
}

/** Returns the name of a limit and of its subscription, for printing. */
function labelOf({ service, subscription, limit }: LimitInfo): string {
  return `${service}/${subscription} ${limit}`;
}

const COLUMNS = ["SERVICE", "SUBSCRIPTION", "LIMIT", ">RUNNING", ">PER", ">WAITING", ">KEYS", "SET"];

function cells(info: LimitInfo, now: LimitHealth | undefined): string[] {
  const { service, subscription, limit, isByKey, program, override } = info;
  const { running, per } = { ...program, ...override?.set };
  const most = running === undefined ? "" : ` of ${running}${isByKey ? " each" : ""}`;
  const { paused, keys = [], set } = override ?? {};
  const changes = [
    ...(paused === undefined ? [] : ["paused"]),
    ...(keys.length === 0 ? [] : [`${keys.length} key${keys.length === 1 ? "" : "s"} paused`]),
    ...(set === undefined ? [] : ["numbers"]),
  ];
  return [
    ...[service, subscription, limit],
    now === undefined ? `?${most}` : `${now.running}${most}`,
    per === undefined ? "-" : rateText(per),
    `${now?.waiting ?? "?"}`,
    isByKey ? `${now?.keys ?? "?"}` : "-",
    changes.join(", ") || "-",
  ];
}

function linesOf(info: LimitInfo, now: LimitHealth | undefined): readonly string[] {
  const label = labelOf(info);
  const waits = now?.waits ?? [];
  const most = waits.map(({ key, waiting, running }) => `${show(key)} (${waiting}, ${running} run)`).join(", ");
  const held = now?.pausedFor;
  return [
    ...(waits.length === 0 ? [] : [`${label}: most wait of the key${waits.length === 1 ? "" : "s"} ${most}`]),
    ...(now?.skipped ? [`${label}: ${now.skipped} skipped (\`over\`) since this node leads`] : []),
    ...(held === undefined ? [] : [`${label}: paused by a handler for ${showDuration(held)} (RATE_LIMITED)`]),
    ...overrideTexts(label, info.override, info.program),
  ];
}

/** Says what operators have set of a limit. `label`: its name. `program`: what the program says, if that is known. */
export function overrideTexts(
  label: string,
  override: Omit<LimitOverride, "limit"> = {},
  program?: LimitSummary,
): readonly string[] {
  const { paused, keys = [], set, invalid } = override;
  const texts = paused === undefined ? [] : [`${label}: ${pauseText(paused)}`];
  if (invalid !== undefined) {
    texts.push(`${label}: what an operator has set has no effect: ${invalid}; set it again, or clear it`);
  }
  for (const { key, ...pause } of keys.slice(0, MAX_KEYS_SHOWN)) {
    texts.push(`${label}: the key ${show(key)} is ${pauseText(pause)}`);
  }
  if (keys.length > MAX_KEYS_SHOWN) texts.push(`${label}: ${keys.length - MAX_KEYS_SHOWN} more keys are paused`);
  if (set !== undefined) {
    const { since, ...numbers } = set;
    const own = program === undefined ? "" : `; the program says ${numbersText(program)}`;
    texts.push(`${label}: set by an operator since ${dateOf(since).toISOString()}: ${numbersText(numbers)}${own}`);
  }
  return texts;
}

function numbersText({ running, per, burst }: LimitSummary): string {
  return [
    ...(running === undefined ? [] : [`running ${running}`]),
    ...(per === undefined ? [] : [`per ${rateText(per)}`]),
    ...(burst === undefined ? [] : [`burst ${burst}`]),
  ].join(", ");
}

/** Returns a rate as `--per` takes it. */
function rateText([count, ms]: readonly [count: number, ms: number]): string {
  const units = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1_000]] as const;
  const [unit = "ms", size = 1] = units.find(([, size]) => ms % size === 0) ?? [];
  return `${count}/${ms / size}${unit}`;
}

const VERBS: Readonly<Record<string, ReadonlySet<FlagName>>> = {
  pause: new Set(["key", "for", "reason"]),
  resume: new Set(["key"]),
  set: new Set(["running", "per", "burst"]),
  clear: new Set(),
};
const OWN_FLAGS = ["key", "for", "reason", "running", "per", "burst", "timeout"] as const;
const LISTING_FLAGS: ReadonlySet<FlagName> = new Set(["timeout"]);
/** Time for which the answer of a leader is awaited, in ms. */
const ANSWER_TIMEOUT = 1_000;
/** Number of paused keys of a limit that are shown each on a line. */
const MAX_KEYS_SHOWN = 20;
