/** Compares a program that is to be deployed with the running nodes, and with the stored subscriptions. */
import { isInternalName, isRunMessage, kindOf, withArticle } from "../contract/declaration/contract.ts";
import type { NodeInfo } from "../contract/nodes/node_info.ts";
import { COMMANDS, readAnnouncement } from "../contract/nodes/announcement.ts";
import { drivenWorkflow } from "../contract/declaration/workflow.ts";
import type { StoredSubscription } from "../log/administration/stored_subscriptions.ts";
import { nodeLabel, type ObservedMismatch } from "../contract/nodes/alarms.ts";
import { reads } from "../contract/schemas/compatibility.ts";
import { isShaped } from "../contract/schemas/shape.ts";
import type { JsonSchema } from "../contract/schemas/json_schema.ts";
import { listed } from "../data/printable.ts";
import { type Described, described } from "./description.ts";
import type { Finding } from "./finding.ts";
import type { Program, ProgramContract } from "./program.ts";
import { refusals } from "./refusals.ts";

/** The running nodes and stored subscriptions of a cluster. */
export interface RunningProgram {
  readonly nodes: readonly NodeInfo[];
  readonly stored: readonly StoredSubscription[];
  /**
   * How nodes declare events: true if the event has the option `durable` there. The keys are the id of a node and the
   * name of an event, joined by a space. There is no entry for an event whose declaration the node did not tell, as
   * nodes of older builds do not.
   */
  readonly durable: ReadonlyMap<string, boolean>;
}

/**
 * Returns the service of which the program is a new version: the service that has most in common with it, counted as
 * the program's contracts that each node of the service handles and the program's subscriptions that the service has
 * stored. `undefined`: no service has anything in common with the program.
 */
export function serviceOf(
  { contracts, workflows, subscriptions }: Program,
  { nodes, stored }: Pick<RunningProgram, "nodes" | "stored">,
): string | undefined {
  const scores = new Map<string, number>();
  const add = (service: string, score: number) => scores.set(service, (scores.get(service) ?? 0) + score);
  for (const { service, handles } of nodes) {
    for (const name of handles) {
      const workflow = drivenWorkflow(name);
      if (workflow === undefined ? contracts.get(name)?.handled : workflows.get(workflow)?.body !== undefined) {
        add(service, 1);
      }
    }
  }
  for (const { service, name } of stored) if (service !== COMMANDS && subscriptions.has(name)) add(service, 1);
  return [...scores].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0]?.[0];
}

/** Returns what would break if the program replaced all nodes of its service. */
export function compareRunning(
  program: Program,
  { nodes, stored, durable: declared }: RunningProgram,
  service: string | undefined,
): Finding[] {
  const found: Finding[] = [];
  const own = nodes.filter((node) => node.service === service);
  const others = nodes.filter((node) => node.service !== service);
  const elsewhere = new Set(others.flatMap(({ handles }) => handles));
  const gone = new Set<string>();
  for (const name of new Set(own.flatMap(({ handles }) => handles))) {
    if (isInternalName(name)) continue;
    const workflow = drivenWorkflow(name);
    if (workflow !== undefined) {
      if (elsewhere.has(name) || program.workflows.get(workflow)?.body !== undefined || gone.has(workflow)) continue;
      gone.add(workflow);
      found.push({
        ...{ level: "break", kind: "workflow-gone", about: workflow },
        message: `no handler of the workflow ${workflow} is left: its open and scheduled runs stand still`,
        advice: `Keep the handler until \`catga runs ${workflow}\` lists no open run.`,
      });
    } else if (!isRunMessage(name) && !elsewhere.has(name) && !program.contracts.get(name)?.handled) {
      found.push({
        ...{ level: "break", kind: "handler-gone", about: name },
        message: `this program does not handle ${name}; its running node ${nodesOf(own, name)} does`,
        advice: "Keep its handler until nobody sends it.",
      });
    }
  }
  for (const contract of program.contracts.values()) found.push(...compareHandled(contract, nodes, declared));
  return [...found, ...compareStored(program, own, stored, service)];
}

/** Finds the first node that handles a contract of this name as another kind, or not in its form (durable or not). */
function compareHandled(
  { contract, handled }: ProgramContract,
  nodes: readonly NodeInfo[],
  declared: RunningProgram["durable"],
): Finding[] {
  const { name, kind } = contract;
  const isDurable = Boolean(contract.options.durable);
  const unknown: Finding[] = [];
  for (const node of nodes) {
    const at = node.handles.indexOf(name);
    if (at < 0) continue;
    const letter = node.kinds?.[at];
    const where = `${node.id} of ${node.service}`;
    if (letter !== undefined && letter !== kind[0]) {
      return [{
        ...{ level: "break", kind: "kind", about: name },
        message: `${name} is ${withArticle(kind)}, and ${where} handles ${withArticle(kindOf(letter) ?? letter)}`,
        advice: "Give it a new name, and keep the old one until nobody sends it.",
      }];
    }
    const read = (node.subscriptions ?? []).map((text) => readAnnouncement(node.service, text));
    // the record of a node does not tell a read model of a durable event from a handler of an event that is not
    const recorded = read.some(({ category }) => category === name) || node.entities?.includes(name);
    const durable = recorded || declared.get(`${node.id} ${name}`);
    // `durable` is compared for events only: commands of entities, for example, are accepted both as durable and as
    // not durable
    if (kind !== "event" || (durable ?? false) === isDurable || (durable && handled)) continue;
    if (durable === undefined) {
      unknown.push({
        ...{ level: "unknown", kind: "durable", about: name, advice: UNKNOWN_FORM },
        message: `${name} is durable, and ${where} does not say whether it is durable there`,
      });
      continue;
    }
    const [is, was] = isDurable ? ["durable", "not"] : ["not durable", "durable"];
    return [{
      ...{ level: "break", kind: "durable", about: name },
      message: `${name} is ${is}, and at ${where} it is ${was}: they do not reach each other`,
      advice: "Handle both for a while: catga docs upgrading#an-event-becomes-durable",
    }];
  }
  return unknown.slice(0, 1);
}

/**
 * The description of a contract that a running node gave. `null` in place of a schema: the validator has no JSON
 * Schema.
 */
export interface Look {
  readonly node: string;
  readonly service: string;
  /** True if the node handles or reads messages of the contract; false: it sends them. */
  readonly handles: boolean;
  /** True if the node has no handler, and reads the event: it follows it, or applies it to an entity. */
  readonly reads?: boolean | undefined;
  readonly name: string;
  /** True if an entity of the node has the handler. */
  readonly ofEntity?: boolean | undefined;
  /** Names of the options that the contract has there, as far as other programs depend on them. */
  readonly options?: readonly string[] | undefined;
  readonly input?: JsonSchema | null | undefined;
  readonly output?: JsonSchema | null | undefined;
  readonly items?: JsonSchema | null | undefined;
}

/**
 * Compares the program with the descriptions of the same contracts by nodes of other services. Nodes of the program's
 * own service are left out, because the program replaces them; their stored messages are checked separately. Equal
 * descriptions are compared once.
 */
export function compareLooks({ contracts }: Program, looks: readonly Look[], service: string | undefined): Finding[] {
  const found = new Map<string, Finding>();
  const add = (findings: readonly Finding[]) => {
    for (const each of findings) if (!found.has(each.message)) found.set(each.message, each);
  };
  const seen = new Set<string>();
  // beside the events of its edges the program does not say what it follows: what the nodes that it replaces do
  const followed = new Set(looks.flatMap((look) => look.reads && look.service === service ? [look.name] : []));
  for (const [name, { followed: by }] of contracts) if (by !== undefined) followed.add(name);
  for (const { node, service: of, handles, name, ...look } of looks) {
    const own = contracts.get(name);
    const key = JSON.stringify([of, handles, name, look]);
    if (own === undefined || of === service || seen.has(key)) continue;
    seen.add(key);
    const { kind, options } = own.contract;
    const [input, output, items] = [options.input, options.output, options.items].map(described);
    const theirs = { input: look.input ?? unlessNull(look.input), ...answersOf(look) };
    const where = `${of} (${node})`;
    if (kind === "command" && (handles || own.handled)) {
      const here = { idempotent: Boolean(options.idempotent), entity: own.entity !== undefined };
      const there = { idempotent: look.options?.includes("idempotent") ?? false, entity: look.ofEntity ?? false };
      const [sender, handler] = handles ? [here, there] : [there, here];
      // a command of an entity is applied once for its id, though its contract is not idempotent
      if (sender.idempotent && !handler.idempotent && !handler.entity) add([notIdempotent(name, where, handles)]);
    }
    if (handles) {
      add(refusals(name, `what this program writes, at ${where}`, theirs.input, input, SERVICE_FIRST));
      if (kind === "event") continue;
      add(refusals(name, `the answer of ${where}`, output, theirs.output, SERVICE_FIRST, "answer"));
      add(refusals(name, `the items of ${where}`, items, theirs.items, SERVICE_FIRST, "items"));
    } else if (own.handled || followed.has(name)) {
      add(refusals(name, `what ${where} sends`, input, theirs.input, BOTH));
      if (kind === "event") continue;
      if (output !== undefined) {
        add(refusals(name, `the new answer at ${where}`, theirs.output, output, BOTH, "answer"));
      }
      if (items !== undefined) add(refusals(name, `the new items at ${where}`, theirs.items, items, BOTH, "items"));
    }
  }
  return [...found.values()];
}

/** The finding for a command that is idempotent at its sender, and not where it is handled. */
function notIdempotent(name: string, where: string, isHandledThere: boolean): Finding {
  return {
    ...{ level: "break", kind: "idempotent", about: name },
    message: isHandledThere
      ? `${name} is idempotent here, and not at ${where}, which handles it: a send that comes again runs again`
      : `${name} is idempotent at ${where}, which sends it, and not here: a send that comes again runs again`,
    advice: "Make it idempotent where it is handled, first.",
  };
}

/**
 * Compares the schemas that nodes have for the same contracts: the payloads of each sender with each handler's schema,
 * and the answers of each handler with each sender's schema. Two versions of a handler are a mismatch, too, if neither
 * can read payloads written for the other, even if nobody has sent any.
 */
export function compareNodes(looks: readonly Look[]): ObservedMismatch[] {
  const found: ObservedMismatch[] = [];
  for (const [contract, own] of Map.groupBy(looks, ({ name }) => name)) {
    const groups = [
      ...Map.groupBy(own, ({ handles, input, output, items }) => {
        return JSON.stringify([handles, input, output, items]);
      }).values(),
    ].map(([look, ...more]) => ({ ...look, nodes: [look, ...more].map(labelOf) }));
    const handlers = groups.filter(({ handles }) => handles);
    for (const sender of groups.filter(({ handles }) => !handles)) {
      for (const handler of handlers) {
        const paths = pathsOf(sender, handler);
        if (paths.unread.length + paths.unreadable.length === 0) continue;
        found.push({ contract, nodes: handler.nodes, ...paths, sender: together(sender.nodes) });
      }
    }
    if (found.some((each) => each.contract === contract)) continue;
    handlers.forEach((one, n) => {
      for (const other of handlers.slice(n + 1)) {
        const [there, back] = [pathsOf(one, other).unread, pathsOf(other, one).unread];
        if (there.length === 0 || back.length === 0) continue;
        const sender = `a sender with the version of ${listed(one.nodes)}`;
        const second = `a sender with the version of ${listed(other.nodes)}`;
        found.push({ contract, nodes: other.nodes, unread: there, unreadable: [], sender });
        found.push({ contract, nodes: one.nodes, unread: back, unreadable: [], sender: second });
      }
    });
  }
  return found;
}

function together(nodes: readonly string[]): string {
  return nodes.length === 1 ? nodes[0] : `each of ${listed(nodes)}`;
}

function labelOf({ node: id, service }: Look): string {
  return nodeLabel({ id, service });
}

function pathsOf(sender: Look, handler: Look): Pick<ObservedMismatch, "unread" | "unreadable"> {
  return {
    unread: refusedPaths(handler.input, sender.input),
    unreadable: [...refusedPaths(sender.output, handler.output), ...refusedPaths(sender.items, handler.items)],
  };
}

/** Returns the differences because of which the reader refuses values of the writer; empty if a schema is not known. */
function refusedPaths(reader: JsonSchema | null | undefined, writer: JsonSchema | null | undefined): readonly string[] {
  if (reader === null || reader === undefined || writer === null || writer === undefined) return [];
  const verdict = reads(reader, writer);
  return verdict.reads === "no" ? verdict.paths : [];
}

/** Returns findings for nodes of other services that handle contracts of the program, and did not describe them. */
export function silentNodes(
  { contracts }: Program,
  silent: readonly NodeInfo[],
  service: string | undefined,
): Finding[] {
  return silent.filter((node) => node.service !== service && node.handles.some((name) => contracts.has(name))).map(
    ({ id, service: of }) => ({
      ...{ level: "unknown", kind: "silent", about: id },
      message: `${id} of ${of} does not say what its contracts look like`,
      advice: "Try again: it may be busy, cut off, or of an older version of Catga.",
    }),
  );
}

/**
 * Returns the names of the program's contracts of which no node of another service gives a description, though one may
 * send or handle them: nodes describe only contracts with a schema or a version. Nodes in `silent` were asked in vain.
 */
export function undescribed(
  { contracts }: Program,
  { nodes, looks, silent }: {
    readonly nodes: readonly NodeInfo[];
    readonly looks: readonly Look[];
    readonly silent: readonly NodeInfo[];
  },
  service: string | undefined,
): string[] {
  const described = new Set(looks.filter((look) => look.service !== service).map(({ name }) => name));
  const answered = nodes.filter((node) => node.service !== service && !silent.includes(node));
  const elsewhere = new Set(answered.flatMap(({ handles }) => handles));
  return [...contracts].filter(([name, { contract }]) =>
    !described.has(name) && answered.length > 0 && (!isShaped(contract) || elsewhere.has(name))
  ).map(([name]) => name);
}

function answersOf({ output, items }: Pick<Look, "output" | "items">) {
  return { output: output ?? unlessNull(output), items: items ?? unlessNull(items) };
}

function unlessNull(schema: null | undefined): Described {
  return schema === null ? "unknown" : undefined;
}

function compareStored(
  { subscriptions, contracts }: Program,
  own: readonly NodeInfo[],
  stored: readonly StoredSubscription[],
  service: string | undefined,
): Finding[] {
  const found: Finding[] = [];
  const announced = own.flatMap((node) =>
    (node.subscriptions ?? []).map((text) => readAnnouncement(node.service, text))
  );
  for (const { service: of, name, state: { head: { began, open }, parked } } of stored) {
    if (of !== service) continue;
    const events = Object.keys(began).filter((event) => !isRunMessage(event));
    // a subscription that no node handles now was abandoned before, so this deploy does not abandon it
    const left = events.filter((event) =>
      !(subscriptions.get(name) ?? []).includes(event) &&
      announced.some((each) => each.name === name && each.category === event)
    );
    for (const event of left) {
      const other = [...subscriptions].find(([other, list]) => other !== name && list.includes(event));
      const count = parked.size + open.length;
      const waits = count === 0 ? {} : { count };
      const isNew = other !== undefined && !stored.some((each) => each.service === service && each.name === other[0]);
      found.push({
        ...{ level: "break", kind: "subscription", about: `${of}/${name}`, ...waits },
        message: isNew
          ? `the subscription to ${event} was ${name}, and is ${
            other[0]
          }, which begins anew: what ${name} has not handled is left`
          : `nobody handles ${event} in the subscription ${of}/${name}: what it has not handled is left`,
        advice: isNew
          ? `Leave it its name, or \`catga rewind ${other[0]}\` after the deploy.`
          : `Keep the handler until nothing waits, then \`catga subscriptions remove ${of}/${name}\`.`,
      });
    }
  }
  for (const { service: of, name, state: { parked, head: { open } } } of stored) {
    const count = parked.size + open.length;
    if (of !== COMMANDS || count === 0 || contracts.get(name)?.handled) continue;
    if (!own.some(({ handles }) => handles.includes(name))) continue;
    found.push({
      ...{ level: "break", kind: "queued", about: name, count, message: `queued commands ${name} wait for a handler` },
      advice: "Keep its handler until none waits.",
    });
  }
  return found;
}

function nodesOf(nodes: readonly NodeInfo[], name: string): string {
  const [first, ...more] = nodes.filter(({ handles }) => handles.includes(name)).map(({ id }) => id);
  return more.length === 0 ? first : `${first} (and ${more.length} more)`;
}

const SERVICE_FIRST = "Deploy that service first, with a schema that reads and answers both.";
const UNKNOWN_FORM =
  "Look at its program: it is of an older version of Catga, busy or cut off. --allow-unknown accepts it.";
const BOTH = "Read and answer both until that service has the new version, too.";
