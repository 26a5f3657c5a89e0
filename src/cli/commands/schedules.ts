/**
 * `schedules`: lists messages that are scheduled for later, cancels one, and pauses and resumes one that repeats.
 * @decides `catga schedules`: pending schedules, and the cancelling or pausing of one
 */
import { runOfStart, wakesRun } from "../../contract/declaration/workflow.ts";
import { offsetOf } from "../../data/cron.ts";
import { printable } from "../../data/printable.ts";
import { nextTimes, pendingSchedules } from "../../log/publishing/schedule_list.ts";
import { changeSchedule, type ScheduleChange } from "../../operate/stored_schedules.ts";
import { systemClock, token } from "../../ports/clock.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { Listing, print } from "../terminal/listing.ts";
import { pauseText } from "../terminal/pause_text.ts";

/** The `schedules` command of the tool. */
export const schedules: CliCommand = {
  name: "schedules",
  words: "[VERB NAME ID]",
  summary: "lists what is scheduled for later; takes it back",
  flags: ["contract", "reason", "timeout"],
  more: `
WHEN is a time, or the six fields of cron (seconds first) and its time zone;
NEXT has the next three times there.
\`schedules cancel NAME ID\` takes back what is scheduled for a contract under an
id, or a start of the workflow NAME: it says so, and it does not fire; or there
is nothing (any more), and the exit code is 1.
\`schedules pause NAME ID\` has a cron not fire until \`resume NAME ID\`, also when
the program schedules it again; what it misses is not made up for.`,
  async run([verb, contract, id], flags, terminal) {
    if (verb !== undefined && (!isChange(verb) || id === undefined)) {
      throw new UsageError("usage: catga schedules [cancel|pause|resume NAME ID]");
    }
    if (flags.has("reason") && verb !== "pause") throw new UsageError("--reason is for schedules pause");
    return await ClusterView.during(flags, terminal, async (view) => {
      if (verb !== undefined) return await change(view, { what: verb, contract, id }, flags, terminal);
      return await list(view, flags, terminal);
    });
  },
};

async function list(view: ClusterView, flags: Flags, terminal: Terminal): Promise<number> {
  const stream = await view.stream("log");
  const only = flags.text("contract");
  const listing = new Listing(terminal, flags.has("json"), ["WHEN", "ZONE", "NEXT", "CONTRACT", "SINCE", "ID"]);
  const paused: string[] = [];
  for await (const pending of stream === undefined ? [] : pendingSchedules(view.namespace, stream)) {
    const { contract, id, when, zone = "-", since } = pending;
    const start = runOfStart(contract, id);
    if (only !== undefined && contract !== only && start?.workflow !== only) continue;
    const next = nextTimes(pending, systemClock.now(), 3).map((time) => localText(time, pending.zone));
    const shown = pending.paused !== undefined ? "(paused)" : next.length === 0 ? "-" : next.join(", ");
    if (pending.paused !== undefined) {
      paused.push(`${contract} ${id}: ${pauseText(pending.paused)}`);
    }
    listing.add({ ...pending, next }, [when, zone, shown, start?.workflow ?? contract, since, start?.run ?? id]);
  }
  for (const text of flags.has("json") ? [] : paused) terminal.say(printable(text));
  const nothing = only === undefined ? "nothing is scheduled" : "nothing that is scheduled matches";
  listing.end(`${nothing} ${view.place}`);
  return DONE;
}

async function change(
  view: ClusterView,
  { what, contract, id }: ScheduleChange,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const refused = await changeSchedule({ what, contract, id, reason: flags.text("reason") }, {
    ...{ namespace: view.namespace, clock: systemClock, stream: await view.stream("log") },
    mark: `cli-${token(view.transport.random, 16)}`,
    timeout: flags.duration("timeout") ?? TIMEOUT,
  });
  if (refused !== undefined) {
    const more = wakesRun(contract, id) === undefined
      ? ""
      : ", catga run --help; a start has the name of its workflow here";
    terminal.say(printable(`${contract} ${JSON.stringify(id)}: ${refused}${more}`));
    return FAILED;
  }
  print(terminal, flags.has("json"), { [DONE_TEXT[what]]: { contract, id } }, `${DONE_TEXT[what]}: ${contract} ${id}`);
  return DONE;
}

const DONE_TEXT = { cancel: "cancelled", pause: "paused", resume: "resumed" } as const;

function isChange(verb: string): verb is ScheduleChange["what"] {
  return Object.hasOwn(DONE_TEXT, verb);
}

/** Formats a time in a time zone, with its offset, as `2027-03-28T03:00:00+02:00`; in UTC if the zone is unknown. */
function localText(time: number, zone = "UTC"): string {
  const utc = new Date(time).toISOString().slice(0, 19);
  let offset = 0;
  try {
    offset = offsetOf(time, zone);
  } catch {
    // the zone is unknown to this runtime: another program may have written it
  }
  if (offset === 0) return `${utc}Z`;
  const minutes = Math.abs(offset) / 60_000;
  const parts = [Math.floor(minutes / 60), Math.floor(minutes % 60)].map((part) => `${part}`.padStart(2, "0"));
  return `${new Date(time + offset).toISOString().slice(0, 19)}${offset < 0 ? "-" : "+"}${parts.join(":")}`;
}

const TIMEOUT = 10_000; // ms
