/**
 * `entity`: shows the stored events and the snapshot of one entity.
 * @decides `catga entity`: the history of one entity
 */
import { nodeLabel } from "../../contract/nodes/alarms.ts";
import { HIDDEN, shownPayload } from "../../contract/declaration/redaction.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { listed, printable, printableJson } from "../../data/printable.ts";
import {
  entityEvents,
  type EntityFault,
  type EntityInfo,
  entityInfo,
  type EntityPlace,
  type StoredEntityEvent,
} from "../../log/administration/entity_history.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { showShort, showTime } from "../terminal/duration.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { facts } from "../terminal/listing.ts";
import { table } from "../terminal/table.ts";
import { isToken } from "../../data/checks.ts";

/** The `entity` command of the tool. */
export const entity: CliCommand = {
  name: "entity",
  words: "[TYPE ID]",
  summary: "shows an entity's events, and what caused them",
  flags: ["after", "limit", "broken", "show-secrets"],
  more: `
Shows its version, when it was created and changed last, and its events: when
each was stored, at which position, and the command that emitted it, by name and
message id. --after N leaves out the first N events, --limit N stops after N
(100; with --json there is no limit).

Long payloads are cut; --json prints them whole: a line for the entity, and one
for each event. What nodes pass over because it is not an event of the entity is
shown with the reason.

--broken lists the entities, of one TYPE or all, that a node could not read when
it was asked for them: a schema refuses a stored event, the definition lacks it,
or a function that applies it throws. Each stays in the list until that node has
read it, or is stopped. The exit code is 1 if there are any. \`catga check\` reads
all entities with a program that is not deployed yet.

The state is what the program makes of the events, so it is not known here; that
of the last snapshot is shown, if there is one.`,
  async run([type, id], flags, terminal) {
    if (flags.has("broken")) return await showBroken(type, id, flags, terminal);
    if (type === undefined || id === undefined) {
      throw new UsageError("entity takes a TYPE and an ID, or --broken: catga entity Cart c-1");
    }
    if (!isToken(type, 64)) throw new UsageError(`${JSON.stringify(type)} is not the name of an entity, such as Cart`);
    if (id === "" || id.length > 256 || !id.isWellFormed()) {
      throw new UsageError(`the id of an entity is a string of 1 to 256 characters; got ${JSON.stringify(id)}`);
    }
    const after = flags.number("after", 0, Number.MAX_SAFE_INTEGER) ?? 0;
    const limit = flags.limit();
    return await ClusterView.during(flags, terminal, async (view) => {
      const stream = await view.stream("entities");
      const place = stream &&
        { namespace: view.namespace, stream, snapshots: await view.bucket("snapshots"), type, id };
      const info = place && await entityInfo(place);
      if (place === undefined || info === undefined) {
        terminal.say(printable(`there is no ${type} ${id} ${view.place}`));
        return FAILED;
      }
      await show(place, info, { after, limit, flags, terminal });
      return DONE;
    });
  },
};

/** Asks each node for the entities that it could not read, and prints them. */
async function showBroken(
  type: string | undefined,
  id: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  if (id !== undefined) throw new UsageError("--broken takes no ID: catga entity --broken, catga entity Cart --broken");
  if (type !== undefined && !isToken(type, 64)) {
    throw new UsageError(`${JSON.stringify(type)} is not the name of an entity, such as Cart`);
  }
  return await ClusterView.during(flags, terminal, async (view) => {
    const nodes = await view.nodes();
    const asker = view.asker();
    const silent: string[] = [];
    const found = await fewAtOnce(nodes, MAX_CONCURRENT_NODES, async (node) => {
      const told = await asker.stats(node.endpoint, ANSWER_TIMEOUT);
      if (told.type !== "stats") silent.push(nodeLabel(node));
      const own = told.type === "stats" ? told.stats.unreadable ?? [] : [];
      return own.map((each) => ({ ...each, node: nodeLabel(node) }));
    });
    asker[Symbol.dispose]();
    const broken = [
      ...Map.groupBy(
        found.flat().filter(({ entity }) => type === undefined || entity === type),
        ({ entity, id }) => `${entity} ${id}`,
      ).values(),
    ].map((own) => ({
      ...{ entity: own[0].entity, id: own[0].id, since: Math.min(...own.map(({ since }) => since)), why: own[0].why },
      nodes: own.map(({ node }) => node),
    })).sort((a, b) => a.since - b.since || (`${a.entity} ${a.id}` < `${b.entity} ${b.id}` ? -1 : 1));
    if (flags.has("json")) {
      for (const { since, ...each } of broken) {
        terminal.write(`${printableJson({ type: "broken", ...each, since: showTime(new Date(since)) })}\n`);
      }
    } else if (broken.length > 0) {
      const rows = broken.map(({ entity, id, since, nodes, why }) => [
        ...[entity, id, showTime(new Date(since)), listed(nodes), why],
      ]);
      terminal.write(`${table(terminal, ["ENTITY", "ID", "SINCE", "NODES", "WHY"], rows).join("\n")}\n`);
    } else if (silent.length === 0) {
      terminal.say(printable(`no node ${view.place} has found an entity that it cannot read`));
    }
    if (silent.length > 0) terminal.say(printable(`no answer from ${listed(silent)}`));
    return broken.length > 0 || silent.length > 0 ? FAILED : DONE;
  });
}

/** Maximum number of nodes that are asked at once; time for which a node's answer is awaited, in ms. */
const [MAX_CONCURRENT_NODES, ANSWER_TIMEOUT] = [16, 2_000];

interface Wanted {
  readonly after: number;
  readonly limit: number;
  readonly flags: Flags;
  readonly terminal: Terminal;
}

async function show(place: EntityPlace, info: EntityInfo, { after, limit, flags, terminal }: Wanted): Promise<void> {
  const json = flags.has("json");
  const showSecrets = flags.has("show-secrets");
  const shownInfo = showSecrets ? info : withoutSecrets(info);
  if (json) terminal.write(`${printableJson(plainInfo(place, shownInfo))}\n`);
  else facts(terminal, `${place.type} ${place.id}`, about(shownInfo));
  const rows: string[][] = [];
  let [left, shown, more] = [limit, after, false];
  for await (const stored of entityEvents(place, { after })) {
    const event = "fault" in stored ? stored : {
      ...stored,
      payload: shownPayload(stored.payload, { contract: stored.event, headers: stored.headers }, showSecrets),
    };
    if (left-- <= 0) {
      more = true;
      break;
    }
    if ("version" in event) shown = event.version ?? shown;
    if (json) terminal.write(`${printableJson(plainEvent(event))}\n`);
    else rows.push(row(place.type, event));
  }
  if (rows.length > 0) terminal.write(`\n${table(terminal, COLUMNS, rows).join("\n")}\n`);
  else if (!json) terminal.say(`no events after version ${after}`);
  if (more) {
    // messages that are no events of the entity have no version behind which a next page could begin
    const next = shown > after ? `--after ${shown} goes on there, ` : "";
    terminal.say(`there are more, up to version ${info.version}: ${next}--limit shows more`);
  }
}

const COLUMNS = [">VERSION", "STORED", ">POSITION", "EVENT", "COMMAND", "COMMAND ID", "PAYLOAD"];

function row(type: string, event: StoredEntityEvent | EntityFault): string[] {
  const [time, position] = [showTime(event.time), `${event.position}`];
  if ("fault" in event) return ["-", time, position, "-", "-", "-", `(${event.fault})`];
  const { version, command, payload } = event;
  const name = event.event.slice(type.length + 1);
  const shown = showShort(printableJson(payload) ?? "-");
  return [`${version ?? "-"}`, time, position, name, command?.name ?? "-", command?.id ?? "-", shown];
}

/**
 * Returns the entity without the state of its snapshot if its type hides members of events, because the state was
 * computed from the events.
 */
function withoutSecrets(info: EntityInfo): EntityInfo {
  const { snapshot, redacts } = info;
  return typeof snapshot === "object" && redacts ? { ...info, snapshot: { ...snapshot, state: HIDDEN } } : info;
}

/** Returns the lines about the entity as a whole, each with its title. */
function about({ version, created, changed, forgotten, snapshot }: EntityInfo): [title: string, text: string][] {
  const lines: [string, string][] = [
    ["version", `${version}`],
    ["created", created === undefined ? "-" : showTime(created)],
    ["changed", changed === undefined ? "-" : showTime(changed)],
  ];
  if (forgotten) lines.push(["forgotten", "yes: its events were removed, and commands get FORGOTTEN"]);
  if (snapshot === undefined || typeof snapshot === "string") {
    lines.push(["snapshot", snapshot === undefined ? "none" : `not used: ${snapshot}`]);
    if (!forgotten) lines.push(["state", "not known here: the program makes it of the events"]);
  } else {
    lines.push(["snapshot", `of version ${snapshot.version}, by version ${snapshot.definition} of the definition`]);
    lines.push(["state", `of that snapshot: ${showShort(printableJson(snapshot.state) ?? "-")}`]);
  }
  return lines;
}

function plainInfo({ type, id }: EntityPlace, { created, changed, snapshot, redacts: _, ...info }: EntityInfo) {
  return {
    type: "entity",
    entity: type,
    id,
    ...info,
    created: created && showTime(created),
    changed: changed && showTime(changed),
    ...(typeof snapshot === "string" ? { unusedSnapshot: snapshot } : { snapshot }),
  };
}

function plainEvent({ time, ...event }: StoredEntityEvent | EntityFault) {
  return { type: "fault" in event ? "fault" : "event", ...event, time: showTime(time) };
}
