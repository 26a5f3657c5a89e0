/** `doctor`: examines a cluster once, and prints the problems found and what to do about each. */
import type { NodeInfo } from "../../../mod.ts";
import { listed, printable, printableJson } from "../../data/printable.ts";
import { isCatgaError } from "../../error.ts";
import { PROTOCOL } from "../../version.ts";
import { nextOf, pendingSchedules } from "../../log/publishing/schedule_list.ts";
import { isQueued } from "../../log/format/group.ts";
import { COMMANDS } from "../../contract/nodes/announcement.ts";
import { kindOf, withArticle } from "../../contract/declaration/contract.ts";
import { categoryOf, messagePattern } from "../../log/format/names.ts";
import { STREAM_KINDS } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { type BucketKind, bucketName, bucketStreamName } from "../../ports/key_value_store.ts";
import { mayNot, type Violation } from "../../ports/transport.ts";
import { ADVICE, type Alarm, alarmsOf, declaredName, nodeLabel } from "../../contract/nodes/alarms.ts";
import { wakesRun } from "../../contract/declaration/workflow.ts";
import type { ServerView } from "../../dashboard/view.ts";
import type { Look } from "../../check/running.ts";
import { lateRuns } from "../../flow/calls/run_infos.ts";
import { ClusterView, MISMATCHES } from "../cluster/cluster_view.ts";
import type { EventForm } from "../cluster/contract_looks.ts";
import { disposing, fileOf } from "../cluster/connection.ts";
import type { Flags } from "../terminal/flags.ts";
import type { ClusterAsker } from "../cluster/cluster_link.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { inFlags } from "../terminal/wording.ts";
import { bold, dim, SEVERITIES, type Terminal } from "../terminal/terminal.ts";

/** The `doctor` command of the tool. */
export const doctor: CliCommand = {
  name: "doctor",
  summary: "says what is wrong with a cluster, and what to do",
  flags: [],
  more: `
Looks at the server, the streams and buckets and their settings, what this user
may not do, the nodes, contracts, subscriptions, dead letters, schedules and
runs, for some seconds; changes nothing. What is wrong is printed with what to
do and the page that says more. The exit code is 1 if something is.

With --json one object: ok, findings (kind, about, severity, message, advice,
docs), and what was looked at.`,
  async run(_, flags, terminal) {
    const seen: Examination = { findings: [], looked: [] };
    const denied: Violation[] = [];
    let opened = false;
    try {
      await disposing(
        ClusterView.open(flags, terminal, (violation) => {
          // without it, mirrors of the streams are not named
          if (violation.subject !== "$JS.API.STREAM.LIST") denied.push(violation);
          return false;
        }, () => {}),
        async (view) => {
          opened = true;
          await examine(view, seen);
        },
      );
    } catch (error) {
      const isFile = fileOf(flags, terminal) !== undefined;
      const unreachable = isFile
        ? "Give the path that the program gives to catga({ file })."
        : "Look whether nats-server runs there, and whether --nats and the credentials are right.";
      seen.findings.push({
        ...finding(opened ? "unreadable" : "unreachable", isFile ? "file" : "NATS", error),
        advice: opened ? READ : unreachable,
      });
    }
    // a missing answer of a node, or a bucket that cannot be found, is no problem if this user lacks the permission
    // for it
    const may = (subject: string) => !denied.some((violation) => violation.subject.includes(subject));
    const known = seen.findings.filter(({ kind, about }) =>
      (kind !== "not-set-up" || may(`.INFO.${bucketStreamName(bucketName(about, "nodes"))}`)) &&
      (kind !== "node-silent" || may(".node."))
    );
    const all = distinct([...known, ...Array.from(denied, forbidden)]);
    report(all, seen.looked, flags, terminal);
    return all.length === 0 ? DONE : FAILED;
  },
};

/** A problem that the examination found. */
interface DoctorFinding extends Pick<Alarm, "about" | "severity" | "message" | "docs" | "cause"> {
  readonly kind: string;
  readonly advice: string;
}

/** Result of the examination: the problems found, and the names of the examined parts. */
interface Examination {
  readonly findings: DoctorFinding[];
  readonly looked: string[];
}

/** The nodes of the cluster, and the endpoints of the nodes that have a record. */
interface Nodes {
  readonly nodes: readonly NodeInfo[];
  readonly listed: ReadonlySet<string>;
}

/**
 * Examines the cluster, and adds the problems found and the examined parts to `seen`.
 * @decides what `doctor` looks at
 */
async function examine(view: ClusterView, seen: Examination): Promise<void> {
  const { findings, looked } = seen;
  const { AlarmWatch } = await import("../../dashboard/collecting/alarm_watch.ts");
  const asker = view.asker();
  const watch = new AlarmWatch(view);
  try {
    const found = await settings(view, findings);
    await watch.looked;
    findings.push(...watch.now);
    for (const { part, message } of watch.problems) {
      const what = { kind: "unreadable", about: part, severity: "error", message, advice: READ } as const;
      findings.push({ ...what, docs: "catga docs errors#startup" });
    }
    const { found: versions, silent } = await ofVersions(view, asker);
    const differing = new Set(versions.map(({ kind, about }) => `${kind} ${about}`));
    // these alarms of nodes are left out: a node's alarm covers only its own messages, and the comparison of all
    // nodes covers them, too
    const seenByNodes = findings.filter(({ kind, about }) => differing.has(`${kind} ${about}`));
    for (const each of seenByNodes) findings.splice(findings.indexOf(each), 1);
    findings.push(...versions);
    if (watch.server !== undefined) ofServer(watch.server, view, seen);
    findings.push(...ofMirrors(await view.mirrors()));
    if (found === undefined) return; // the failure to read the nodes was reported already
    const { nodes } = found;
    ofNodes(found, view, seen);
    looked.push(`${nodes.length} node${nodes.length === 1 ? "" : "s"}`);
    findings.push(...await ofDurable(asker, nodes, silent));
    await ofQueued(view, nodes, seen);
    const handled = new Set(nodes.flatMap(({ handles }) => handles));
    await ofSchedules(view, handled, seen);
    await ofLimits(view, seen);
    await ofRuns(view, handled, seen);
  } finally {
    watch[Symbol.dispose]();
    asker[Symbol.dispose]();
  }
}

/**
 * Finds contracts whose versions on different nodes do not fit together, by the nodes' descriptions of them. `silent`:
 * the nodes that did not answer.
 */
async function ofVersions(
  view: ClusterView,
  asker: ClusterAsker,
): Promise<{ readonly found: readonly DoctorFinding[]; readonly silent: readonly NodeInfo[] }> {
  // errors are ignored: the failure to read the nodes is reported elsewhere
  const nodes = await view.nodes().catch(() => []);
  if (nodes.length < 2) return { found: [], silent: [] };
  const { compareNodes } = await import("../../check/running.ts");
  const { looksOf } = await import("../cluster/contract_looks.ts");
  const { looks, silent } = await looksOf(asker, nodes, "differing");
  const mismatches = alarmsOf({ now: Date.now(), mismatches: compareNodes(looks) });
  const found = [...mismatches.map((alarm) => ({ ...alarm, advice: ADVICE[alarm.kind] })), ...ofIdempotent(looks)];
  return { found, silent };
}

/** Finds commands that are idempotent at some nodes, and are handled by others as if they were not. */
function ofIdempotent(looks: readonly Look[]): DoctorFinding[] {
  return [...Map.groupBy(looks, ({ name }) => name)].flatMap(([name, own]) => {
    const isIdempotent = ({ options = [] }: Look) => options.includes("idempotent");
    const labels = (
      of: (look: Look) => boolean,
    ) => [...new Set(own.filter(of).map(({ node, service }) => nodeLabel({ id: node, service })))];
    const those = labels(isIdempotent);
    // a command of an entity is applied once for its id, though its contract is not idempotent
    const others = labels((look) => look.handles && !look.ofEntity && !isIdempotent(look));
    if (those.length === 0 || others.length === 0) return [];
    return {
      ...{ kind: "idempotent-differs", about: name, severity: "warning", docs: "catga docs upgrading#contracts" },
      message: `${name} is idempotent at ${listed(those)}, and not at ${listed(others)}: ` +
        "a send that comes again runs again there.",
      advice: "Deploy it idempotent wherever it is handled.",
    };
  });
}

/**
 * Finds events whose publishers and handlers disagree about `durable`: handled as durable at some nodes and as not
 * durable at others, or published in a form that a service which handles the event does not handle. `silent`: nodes
 * that are not asked.
 */
async function ofDurable(
  asker: ClusterAsker,
  nodes: readonly NodeInfo[],
  silent: readonly NodeInfo[],
): Promise<readonly DoctorFinding[]> {
  if (nodes.length < 2) return [];
  const { eventForms, handledEvents } = await import("../cluster/contract_looks.ts");
  const forms = await eventForms(asker, nodes, { names: handledEvents(nodes), silent });
  return [...Map.groupBy(forms, ({ name }) => name)].flatMap(([name, own]) => {
    const message = disagreement(name, own);
    if (message === undefined) return [];
    return {
      ...{ kind: "durable-differs", about: name, severity: "warning", message },
      ...{ advice: "Handle both for a while.", docs: "catga docs upgrading#an-event-becomes-durable" },
    } as const;
  });
}

/** Returns the text for an event whose messages do not reach all its handlers; `undefined`: they do. */
function disagreement(name: string, own: readonly EventForm[]): string | undefined {
  const where = (of: readonly EventForm[]) => listed([...new Set(of.map(({ node }) => nodeLabel(node)))]);
  const durable = own.filter((form) => form.durable);
  const plain = own.filter((form) => !form.durable);
  const plainHandlers = plain.filter(({ handles }) => handles);
  if (durable.length === 0 || plain.length === 0) return undefined;
  if (plainHandlers.length > 0) {
    return `${name} is durable at ${where(durable)}, and not at ${where(plainHandlers)}: ` +
      "what is published there as durable does not reach these, nor the other way round.";
  }
  // an event that is not stored reaches a service if one of its nodes handles both forms; nodes of older builds do not
  // tell whether they handle both, and are taken to do so
  const handlers = durable.filter(({ handles }) => handles);
  const deaf = [...Map.groupBy(handlers, ({ node }) => node.service).values()]
    .filter((ofService) => ofService.every(({ inBothForms }) => inBothForms === false)).flat();
  if (deaf.length === 0) return undefined;
  return `${name} is published as not durable at ${where(plain)}, and is durable at ${where(deaf)}: ` +
    "what is published there does not reach these.";
}

/**
 * Opens each existing stream and bucket, which checks its settings, and adds the problems found. Returns the nodes;
 * `undefined`: they cannot be read.
 */
async function settings(view: ClusterView, findings: DoctorFinding[]): Promise<Nodes | undefined> {
  const check = async (name: string, open: () => Promise<unknown>) => {
    try {
      await open();
    } catch (error) {
      if (!isCatgaError(error) || error.code === "CLOSED") throw error;
      const wrong = MISMATCHES.has(error.code);
      findings.push({
        ...finding(wrong ? "wrong-settings" : "unreadable", name, error),
        advice: wrong ? "Give it the settings that `catga setup --print` prints." : READ,
        docs: wrong ? `catga docs errors#${error.code.toLowerCase()}` : "catga docs errors#startup",
      });
    }
  };
  // only the buckets are checked that the documented permissions let every user of the tool see
  for (const kind of SEEN) await check(bucketName(view.namespace, kind), () => view.bucket(kind));
  for (const kind of STREAM_KINDS) await check(streamName(view.namespace, kind), () => view.stream(kind));
  const listed = await view.nodes().catch(() => undefined);
  if (listed === undefined) return undefined;
  const administration = view.administration();
  const nodes = await administration.stored().then((stored) => administration.nodes(stored)).catch(() => listed);
  return { nodes, listed: new Set(listed.map(({ endpoint }) => endpoint)) };
}

function ofServer(server: ServerView, { namespace, file }: ClusterView, { findings, looked }: Examination): void {
  const { name, version, rtt, streams } = server;
  looked.unshift(
    file === undefined ? `NATS ${name}, ${version}, ${rtt} ms there and back` : `${name}, ${version}`,
    streams.length === 1 ? "1 stream or bucket" : `${streams.length} streams and buckets`,
  );
  const nodes = streams.find((each) => each.name === bucketStreamName(bucketName(namespace, "nodes")));
  if (nodes === undefined) {
    return void findings.push({
      ...{ kind: "not-set-up", about: namespace, severity: "error", docs: "catga docs cli#setup" },
      message: `There is nothing in the namespace ${namespace}: no node has run there.`,
      advice: file === undefined
        ? "Check --namespace and --nats; start a node, or run catga setup."
        : "Check --namespace and --file; start the program.",
    });
  }
  const copies = new Map(streams.map(({ name, replicas }) => [name, replicas]));
  const most = Math.max(...copies.values());
  const fewer = [...copies].filter(([, replicas]) => replicas < most).map(([name]) => name);
  if (fewer.length > 0) {
    const about = fewer.join(", ");
    findings.push({
      ...{ kind: "replicas-differ", about, severity: "warning", docs: "catga docs deploying#nats" },
      message: `${about} ${fewer.length === 1 ? "has" : "have"} fewer copies than the others, which have ${most}.`,
      advice: `Run nats stream edit NAME --replicas ${most} for each; give all nodes the same option replicas.`,
    });
  }
}

/** Finds mirrors of the namespace's streams, which answer reads of them. `mirrors`: by name, with their origins. */
function ofMirrors(mirrors: ReadonlyMap<string, string>): DoctorFinding[] {
  return [...mirrors].map(([about, origin]) => ({
    ...{ kind: "mirrored", about, severity: "warning", docs: "catga docs topologies#mirrors" },
    message: `${about} mirrors ${origin}, and answers direct gets in its place: ` +
      "programs then ask the leader again, so that reads are right, and slower.",
    advice: "Make the mirror in another account or JetStream domain, where it answers nothing here; or leave it.",
  }));
}

function ofNodes({ nodes, listed }: Nodes, { file }: ClusterView, { findings }: Examination): void {
  const unlisted = nodes.filter(({ endpoint }) => !listed.has(endpoint)).map(nodeLabel).join(", ");
  if (unlisted !== "") {
    findings.push({
      ...{ kind: "unlisted", about: unlisted, severity: "error", docs: "catga docs alarms#store-full" },
      message: `No record in the store: ${unlisted}. Nodes that start now cannot find these.`,
      advice: "Give the store room; if it has room, look at the leaders of its streams.",
    });
  }
  if (nodes.length === 0) {
    findings.push({
      ...{ kind: "no-nodes", about: "nodes", severity: "error", docs: "catga docs deploying" },
      message: file === undefined ? "No node runs in this namespace." : "No process uses the file.",
      advice: file !== undefined
        ? "Start the program; or check --namespace."
        : "Start one; or check --namespace. If nodes do run, the store is full, and took no records of them.",
    });
  }
  const handled = nodes.flatMap((node) => node.handles.map((name, i) => ({ name, kind: node.kinds?.[i], node })));
  for (const [name, own] of Map.groupBy(handled, ({ name }) => name)) {
    const kinds = Map.groupBy(own.filter(({ kind }) => kind !== undefined), ({ kind = "" }) => kind);
    if (kinds.size < 2) continue;
    const who = [...kinds].map(([letter, those]) =>
      `${withArticle(kindOf(letter) ?? letter)} at ${those.slice(0, 3).map(({ node }) => nodeLabel(node)).join(", ")}`
    );
    findings.push({
      ...{ kind: "kinds-differ", about: name, severity: "error", docs: "catga docs errors#invalid_message" },
      message: `${name} is handled as different kinds: ${who.join("; ")}.`,
      advice: "Deploy the same contract everywhere; give one of them another name.",
    });
  }
  const foreign = nodes.filter(({ protocol }) => protocol !== PROTOCOL).map(nodeLabel);
  if (foreign.length > 0) {
    const about = foreign.join(", ");
    findings.push({
      ...{ kind: "versions-differ", about, severity: "error", docs: "catga docs upgrading" },
      message: `${about} ${foreign.length === 1 ? "speaks" : "speak"} another version of the protocol.`,
      advice: "Upgrade them, or this tool: nodes of different protocols do not understand each other.",
    });
  }
}

/** Finds queued commands that no node has ever handled. (For other waiting commands the nodes have an alarm.) */
async function ofQueued(view: ClusterView, nodes: readonly NodeInfo[], { findings }: Examination): Promise<void> {
  const stream = await view.stream("log").catch(() => undefined);
  if (stream === undefined) return;
  const stored = await view.administration().stored();
  const handled = stored.filter(({ service }) => service === COMMANDS).map(({ name }) => name);
  const known = new Set([...handled, ...nodes.flatMap(({ handles }) => handles)]);
  for (const subject of await stream.subjects(messagePattern(view.namespace, stream.name))) {
    const name = categoryOf(view.namespace, subject);
    if (name === undefined || known.has(name)) continue;
    const last = await stream.last(subject);
    if (last === undefined || !isQueued(last.data)) continue;
    findings.push({
      ...{ kind: "no-node", about: name, severity: "error", docs: "catga docs alarms#no-node" },
      message: `Nobody has handled ${name} yet, and commands of it wait.`,
      advice: ADVICE["no-node"],
    });
  }
}

/** Finds schedules that fire although no node handles their messages, and schedules that do not fire. */
async function ofSchedules(
  view: ClusterView,
  handled: ReadonlySet<string>,
  { findings, looked }: Examination,
): Promise<void> {
  const stream = await view.stream("log").catch(() => undefined);
  if (stream === undefined) return;
  const unhandled = new Map<string, Set<string>>();
  const overdue = new Set<string>();
  let count = 0;
  for await (const pending of pendingSchedules(view.namespace, stream)) {
    if (++count > MAX_SCHEDULES) break;
    const { contract, id, paused } = pending;
    if (paused !== undefined) {
      const since = new Date(paused.since).toISOString();
      const why = paused.reason === undefined ? "." : `: ${paused.reason}`;
      findings.push({
        ...{ kind: "paused", about: `${contract} ${id}`, severity: "warning", docs: "catga docs alarms#paused" },
        message: `An operator has paused the cron ${id} of ${declaredName(contract)} since ${since}${why}`,
        advice: "Resume it when its reason is gone: catga schedules resume. It does not fire meanwhile.",
      });
    }
    if (!handled.has(contract)) {
      const ways = unhandled.get(contract) ?? new Set();
      const wakes = wakesRun(contract, id) !== undefined;
      unhandled.set(contract, ways.add(wakes ? "its runs: catga run" : "the schedule: catga schedules cancel"));
    }
    const now = stream.serverTime;
    if ((nextOf(pending, now) ?? now) < now - OVERDUE_AFTER) overdue.add(contract);
  }
  looked.push(`${count > MAX_SCHEDULES ? `more than ${MAX_SCHEDULES}` : count} schedule${count === 1 ? "" : "s"}`);
  for (const [contract, ways] of unhandled) {
    findings.push({
      ...{ kind: "schedule-unhandled", about: contract, severity: "warning", docs: "catga docs log#schedules" },
      message: `No node handles ${declaredName(contract)}, which is scheduled.`,
      advice: `Start a node that does, or cancel ${[...ways].join(", and ")}.`,
    });
  }
  for (const contract of overdue) {
    findings.push({
      ...{ kind: "schedule-overdue", about: contract, severity: "error", docs: "catga docs log#schedules" },
      message: `A schedule of ${contract} is due, and has not fired.`,
      advice:
        "Look whether the stream of the log has a leader, and room; a node that handles it has it fire 10 s after " +
        "a full store has room again. If not, restart nats-server, or let the stream's leader step down.",
    });
  }
}

/** Finds limits whose numbers operators have set for long, and settings of limits that no program has any more. */
async function ofLimits(view: ClusterView, { findings }: Examination): Promise<void> {
  const stream = await view.stream("subscriptions").catch(() => undefined);
  if (stream === undefined) return;
  const forgotten = stream.serverTime - OLD_SETTING;
  const administration = view.administration();
  const limits = (await administration.limits()).filter(({ override }) => override !== undefined);
  const infos = limits.length === 0 ? [] : await administration.subscriptions();
  const running = new Set(infos.flatMap((each) => each.abandoned ? [] : [`${each.service}/${each.name}`]));
  for (const { service, subscription, limit, override, program } of limits) {
    const { set } = override ?? {};
    if (override === undefined || (program !== undefined && (set === undefined || set.since > forgotten))) continue;
    const about = `${service}/${subscription} ${limit}`;
    const isStopped = program === undefined && !running.has(`${service}/${subscription}`);
    findings.push({
      ...{ kind: "limit-set", about, severity: "warning", docs: "catga docs cli#limits" },
      message: program !== undefined
        ? `An operator has set the numbers of the limit ${about} over a week ago.`
        : isStopped
        ? `An operator has set something of the limit ${about}, and no program of ${service}/${subscription} runs.`
        : `An operator has set something of the limit ${about}, which the running programs do not have.`,
      advice: isStopped
        ? "It counts again when its program starts. If no version has the limit any more, take it back: catga limits clear."
        : program === undefined
        ? "Take it back: catga limits clear."
        : "Have the program say it, and take it back: catga limits clear.",
    });
  }
}

/** Finds workflow runs that were due and that no schedule has woken. */
async function ofRuns(view: ClusterView, handled: ReadonlySet<string>, { findings }: Examination): Promise<void> {
  const latest = ((await view.stream("entities"))?.serverTime ?? 0) - LATE_RUN;
  const late = await view.runLog().then((log) => log && lateRuns(log, handled, latest)) ?? [];
  if (late.length === 0) return;
  findings.push({
    ...{ kind: "run-late", about: late[0], severity: "error", docs: "catga docs workflows#failures" },
    message: `Runs were due over a minute ago, and nothing woke them: ${listed(late)}.`,
    advice: "Have each go on: catga run WORKFLOW ID retry.",
  });
}

function forbidden(violation: Violation): DoctorFinding {
  const { code, message } = mayNot(violation);
  return {
    ...{ kind: "forbidden", about: violation.subject, severity: "error", message: `${code}: ${message}` },
    ...{ advice: "Give this user the permission, or use another one.", docs: "catga docs cli#what-it-may-do" },
  };
}

function finding(kind: string, about: string, error: unknown): Omit<DoctorFinding, "advice"> {
  const message = isCatgaError(error)
    ? `${error.code}: ${inFlags(error.message)}`
    : `${(error as Error)?.message ?? error}`;
  return { kind, about, severity: "error", message, docs: "catga docs errors#startup" };
}

/**
 * Returns the problems without those that are reported twice: an operation that fails for lack of a permission also
 * reports the permission.
 */
function distinct(findings: readonly DoctorFinding[]): DoctorFinding[] {
  const denied = findings.filter(({ kind }) => kind === "forbidden").map(({ about }) => about);
  const all = new Map<string, DoctorFinding>();
  for (const each of findings) {
    const isUnreadable = each.kind === "unreadable";
    if (isUnreadable && denied.some((subject) => each.message.includes(subject))) continue;
    // findings of one cause have an equal key, whether or not their messages begin with an error code, so that one
    // cause is reported once although many parts fail
    const key = `${each.kind} ${isUnreadable ? each.message.replace(/^[A-Z_]+: /, "") : each.about}`
      .replace(/_INBOX\.[^.\s]+/, "_INBOX"); // the name of the inbox is random for each connection
    if (!all.has(key)) all.set(key, each);
  }
  return [...all.values()].sort((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
}

function report(findings: readonly DoctorFinding[], looked: readonly string[], flags: Flags, terminal: Terminal): void {
  if (flags.has("json")) return terminal.write(`${printableJson({ ok: findings.length === 0, findings, looked })}\n`);
  const lines = looked.map((each) => dim(terminal, printable(each)));
  for (const { severity, message, advice, docs, cause = "" } of findings) {
    lines.push("", `${bold(terminal, SEVERITIES[severity])}  ${printable(message)}`);
    for (const line of cause.split("\n").slice(0, 4)) {
      if (line !== "") lines.push(`         ${dim(terminal, printable(line))}`);
    }
    lines.push(`         ${printable(advice)} (${printable(docs)})`);
  }
  const count = findings.length;
  lines.push("", count === 0 ? "Nothing is wrong." : count === 1 ? "1 thing is wrong." : `${count} things are wrong.`);
  terminal.write(`${lines.join("\n").trimStart()}\n`); // the text is empty if nothing was examined
}

const READ = "If that does not say why, its leader may be changing: try again; then look at nats-server and its log.";
/** Buckets that the documented permissions of the tool include. */
const SEEN: readonly BucketKind[] = ["nodes", "locks"];
/** Time after which numbers that operators have set of a limit are forgotten rather than meant, in ms: a week. */
const OLD_SETTING = 604_800_000;
/** Maximum number of schedules that are examined. */
const MAX_SCHEDULES = 10_000;
/**
 * Time after its due time, in ms, at which a schedule that has not fired is reported.
 * @decides after how many ms `doctor` reports a scheduled message as late, and its other limits
 */
const OVERDUE_AFTER = 10_000;
/** Time after its due time, in ms, at which a workflow run counts as not woken; its node may be busy for a while. */
const LATE_RUN = 60_000;
