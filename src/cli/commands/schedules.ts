/**
 * `schedules`: lists messages that are scheduled for later, and cancels one.
 * @decides `catga schedules`: pending schedules, and the cancelling of one
 */
import {
  isWorkflowName,
  runContracts,
  runOfStart,
  runType,
  startName,
  wakesRun,
} from "../../contract/declaration/workflow.ts";
import { offsetOf } from "../../data/cron.ts";
import { printable } from "../../data/printable.ts";
import { scheduleSubject } from "../../log/format/names.ts";
import { nextTimes, pendingSchedules } from "../../log/publishing/schedule_list.ts";
import { unschedule } from "../../log/publishing/unschedule.ts";
import { systemClock, token } from "../../ports/clock.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { Listing, print } from "../terminal/listing.ts";

/** The `schedules` command of the tool. */
export const schedules: CliCommand = {
  name: "schedules",
  words: "[cancel NAME ID]",
  summary: "lists what is scheduled for later; takes it back",
  flags: ["contract", "timeout"],
  more: `
WHEN is a time, or the six fields of cron (seconds first) and its time zone;
NEXT has the next three times there.
\`schedules cancel NAME ID\` takes back what is scheduled for a contract under an
id, or a start of the workflow NAME: it says so, and it does not fire; or there
is nothing (any more), and the exit code is 1.`,
  async run([verb, contract, id], flags, terminal) {
    if (verb !== undefined && (verb !== "cancel" || id === undefined)) {
      throw new UsageError("usage: catga schedules [cancel NAME ID]");
    }
    return await ClusterView.during(flags, terminal, async (view) => {
      if (verb !== undefined) return await cancel(view, { contract, id }, flags, terminal);
      return await list(view, flags, terminal);
    });
  },
};

async function list(view: ClusterView, flags: Flags, terminal: Terminal): Promise<number> {
  const stream = await view.stream("log");
  const only = flags.text("contract");
  const listing = new Listing(terminal, flags.has("json"), ["WHEN", "ZONE", "NEXT", "CONTRACT", "SINCE", "ID"]);
  for await (const pending of stream === undefined ? [] : pendingSchedules(view.namespace, stream)) {
    const { contract, id, when, zone = "-", since } = pending;
    const start = runOfStart(contract, id);
    if (only !== undefined && contract !== only && start?.workflow !== only) continue;
    const next = nextTimes(pending, systemClock.now(), 3).map((time) => localText(time, pending.zone));
    const shown = next.length === 0 ? "-" : next.join(", ");
    listing.add({ ...pending, next }, [when, zone, shown, start?.workflow ?? contract, since, start?.run ?? id]);
  }
  const nothing = only === undefined ? "nothing is scheduled" : "nothing that is scheduled matches";
  listing.end(`${nothing} ${view.place}`);
  return DONE;
}

async function cancel(
  view: ClusterView,
  { contract, id }: { readonly contract: string; readonly id: string },
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const refused = wakesRun(contract, id);
  if (refused !== undefined) {
    terminal.say(printable(`${refused}, catga run --help; a start has the name of its workflow here`));
    return FAILED;
  }
  const stream = await view.stream("log");
  const take = async (contract: string, id: string) =>
    stream !== undefined && await unschedule(scheduleSubject(view.namespace, contract, id), {
      clock: systemClock,
      stream: () => stream,
      mark: `cli-${token(view.transport.random, 16)}`,
      timeout: flags.duration("timeout") ?? TIMEOUT,
    });
  const taken = await take(contract, id) ||
    (isWorkflowName(contract) && await take(runContracts(runType(contract)).due.name, startName(id)));
  if (!taken) {
    terminal.say(
      printable(`nothing of ${contract} is scheduled under the id ${JSON.stringify(id)}: it has fired, or never was`),
    );
    return FAILED;
  }
  print(terminal, flags.has("json"), { cancelled: { contract, id } }, `cancelled: ${contract} ${id}`);
  return DONE;
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
