/**
 * Compares two versions of a program by their descriptions: `before`, which runs now, and `after`, which is to be
 * deployed in its place. The new version has to read stored messages, and the messages of nodes that still run the old
 * version. Those nodes, and nodes of other programs, which this deploy does not replace, have to read the messages of
 * the new version.
 */
import { withArticle } from "../contract/declaration/contract.ts";
import type { Described, DescribedContract, Description } from "./description.ts";
import type { Finding } from "./finding.ts";
import { compareRoutes } from "./compared_routes.ts";
import { judge, refusals, UNKNOWN } from "./refusals.ts";

/** Returns what would break if `after` were deployed while other nodes still run `before`. */
export function compare(before: Description, after: Description): Finding[] {
  const found: Finding[] = [];
  for (const [name, was] of Object.entries(before.contracts)) {
    const is = own(after.contracts, name);
    if (is === undefined) {
      if (was.handled) found.push(nobodyHandles(was.kind, name));
    } else found.push(...compareContract(name, was, is));
  }
  for (const [name, was] of Object.entries(before.entities)) {
    const is = own(after.entities, name);
    if (is === undefined) {
      if (Object.keys(was.events).length === 0) continue;
      found.push({
        ...{ level: "break", kind: "entity-gone", about: name, message: `the entity ${name} is gone: its events stay` },
        advice: "Keep its definition as long as they are stored, or forget each entity first.",
      });
      continue;
    }
    if (is.version < was.version) {
      found.push({
        ...{ level: "break", kind: "entity-version", about: name },
        message: `the entity ${name} has version ${is.version}, and had ${was.version}: its old snapshots count again`,
        advice: `Give it a version that no deploy has had, ${was.version + 1} for example.`,
      });
    }
    for (const [event, { input }] of Object.entries(was.events)) {
      const now = own(is.events, event);
      if (now === undefined) {
        found.push({
          ...{ level: "break", kind: "entity-event-gone", about: event },
          message: `${event} is gone: entities that have it stored are UNAVAILABLE`,
          advice: "Emit it no longer, but keep its definition with its apply function.",
        });
        continue;
      }
      found.push(...refusals(event, "what is stored of it", now.input, input, PAST));
      found.push(...rollback(event, input, now.input));
    }
    for (const event of Object.keys(is.events)) {
      if (own(was.events, event) !== undefined) continue;
      found.push({
        ...{ level: "note", kind: "rollback", about: event },
        message: `${event} is new: after a rollback, entities that have it are UNAVAILABLE`,
        advice: "Deploy its definition first, and what emits it when no older version is left.",
      });
    }
  }
  for (const [name, was] of Object.entries(before.workflows)) {
    const is = own(after.workflows, name);
    if (was.handled && !is?.handled) {
      found.push({
        ...{ level: "break", kind: "workflow-gone", about: name },
        message: `no handler of the workflow ${name} is left: its open and scheduled runs stand still`,
        advice: "Keep the handler until `catga runs` lists no open run of it.",
      });
    }
    if (is === undefined) continue;
    if (is.version < was.version) {
      found.push({
        ...{ level: "break", kind: "workflow-version", about: name },
        message:
          `the workflow ${name} has version ${is.version}, and had ${was.version}: runs of ${was.version} are open`,
        advice: "Raise it, or leave it as it was.",
      });
    }
    found.push(...refusals(name, "the input of open and scheduled runs", is.input, was.input, PAST));
    found.push(...rollback(name, was.input, is.input));
  }
  found.push(...compareSignals(before, after), ...compareQuestions(before, after));
  found.push(...compareSubscriptions(before, after), ...compareAddedEvents(before, after));
  found.push(...compareRoutes(before, after));
  return found;
}

/** Compares what open runs are told: the values of signals. */
function compareSignals(before: Description, after: Description): Finding[] {
  return Object.entries(before.signals ?? {}).flatMap(([name, was]) => {
    const is = own(after.signals ?? {}, name);
    return is === undefined ? [] : compareTold(name, "told", [before, was.input], [after, is.input]);
  });
}

/** Compares what open runs are asked, and what they answer. An asker gets the answer as the run has recorded it. */
function compareQuestions(before: Description, after: Description): Finding[] {
  return Object.entries(before.questions ?? {}).flatMap(([name, was]): Finding[] => {
    const is = own(after.questions ?? {}, name);
    const answers = isHandled(after, name);
    if (is === undefined) {
      return !answers || !isHandled(before, name) ? [] : [{
        ...{ level: "break", kind: "question-gone", about: name },
        message: `the question ${name} is gone: open runs answer it no more, and who asks waits until the run ends`,
        advice:
          "Export it, and answer it until nobody asks it: then older askers get an answer, or a failure of its own.",
      }];
    }
    const found = compareTold(name, "asked", [before, was.input], [after, is.input]);
    const verdict = answers && is.output !== undefined ? judge(was.output, is.output) : undefined;
    if (verdict?.reads === "no") {
      const message = `${name}: the new answer is not what older askers read: ${verdict.paths.join("; ")}`;
      found.push({ level: "break", kind: "answer", about: name, message, advice: OLD_SENDERS });
    } else if (verdict?.reads === "unknown") {
      found.push({
        ...{ level: "unknown", kind: "answer", about: name },
        message: `${name}: whether older askers read the new answer could not be judged (${verdict.keyword})`,
        advice: UNKNOWN,
      });
    }
    return found;
  });
}

type OfProgram = readonly [program: Description, input: Described];

/** Compares the schemas of a signal or question in two versions of a program, which handles its workflow or not. */
function compareTold(
  name: string,
  told: "told" | "asked",
  [before, was]: OfProgram,
  [after, is]: OfProgram,
): Finding[] {
  if (isHandled(after, name)) {
    return [...refusals(name, `what open runs were ${told}`, is, was, PAST), ...rollback(name, was, is)];
  }
  if (isHandled(before, name)) return [];
  return refusals(name, `what runs are ${told} by this program`, was, is, HANDLER);
}

/** Returns true if the program handles the workflow of a signal or question, whose name is `Order.Paid`. */
function isHandled({ workflows }: Description, name: string): boolean {
  return own(workflows, name.slice(0, name.indexOf(".")))?.handled === true;
}

/** Compares one contract in two versions of a program. */
export function compareContract(name: string, was: DescribedContract, is: DescribedContract): Finding[] {
  if (was.kind !== is.kind) {
    const message = `${name} is ${withArticle(is.kind)}, and was ${withArticle(was.kind)}`;
    return [{
      ...{ level: "break", kind: "kind", about: name, message },
      advice: "Give it a new name, and keep the old one until nobody sends it.",
    }];
  }
  if (was.durable !== is.durable) {
    const [now, before] = is.durable ? ["is", "was not"] : ["is not", "was"];
    return [{
      ...{ level: "break", kind: "durable", about: name, message: `${name} ${now} durable, and ${before}` },
      advice: is.kind === "event"
        ? "Handle both for a while: catga docs upgrading#an-event-becomes-durable"
        : "Give it a new name, and keep the old one until nothing of it waits.",
    }];
  }
  const found: Finding[] = [];
  if (was.handled && !is.handled) found.push(nobodyHandles(was.kind, name));
  found.push(...compareSending(name, was, is));
  if (was.entity !== undefined && was.entity !== is.entity && is.handled) {
    found.push({
      ...{ level: "break", kind: "entity", about: name },
      message: `${name} was decided by the entity ${was.entity}, and is not: a send that comes again is applied again`,
      advice: "Leave it to its entity, or give it a new name.",
    });
  }
  if (was.keyed && !is.keyed && is.durable) {
    found.push({
      ...{ level: "break", kind: "key", about: name },
      message: `${name} has no key, and had one: its messages are handled in no order`,
      advice: "Leave it its key, or give it a new name.",
    });
  }
  const isStored = was.durable === true;
  if (is.handled) {
    const of = isStored ? "what is stored and published of it" : "what older senders send";
    found.push(...refusals(name, of, is.input, was.input, isStored ? PAST : SENDERS));
    found.push(...answers(name, "answer", was.output, is.output), ...answers(name, "items", was.items, is.items));
    if (isStored) found.push(...rollback(name, was.input, is.input));
  } else if (!was.handled) {
    // the contract is handled by another program, which is not deployed with this one
    if (is.followed) found.push(...refusals(name, "what is stored and published of it", is.input, was.input, PAST));
    if (is.followed === "only") return found;
    found.push(...refusals(name, "what this program writes", was.input, is.input, HANDLER));
    found.push(...refusals(name, "the answer of its handler", is.output, was.output, ANSWERS, "answer"));
    found.push(...refusals(name, "the items of its handler", is.items, was.items, ANSWERS, "items"));
  }
  return found;
}

/** Compares what two versions of a contract promise about messages that come again, and about the order of a key. */
function compareSending(name: string, was: DescribedContract, is: DescribedContract): Finding[] {
  const found: Finding[] = [];
  if (was.idempotent && !is.idempotent) {
    found.push({
      ...{ level: "break", kind: "idempotent", about: name },
      message: `${name} is not idempotent, and was: a send that comes again runs again`,
      advice: "Leave it idempotent, or give it a new name.",
    });
  } else if (!was.idempotent && is.idempotent) {
    found.push({
      ...{ level: "note", kind: "idempotent", about: name },
      message:
        `${name} is idempotent, and was not: at older nodes, also after a rollback, a send that comes again runs again`,
      advice: "Deploy its handlers first, and rely on it when no older node handles it.",
    });
  } else if (was.ids && !is.ids) {
    found.push({
      ...{ level: "break", kind: "ids", about: name },
      message: `${name} makes no ids, and did: a send that comes again, without an id of its own, runs again`,
      advice: "Leave it its function id, or give each send the id that the function made.",
    });
  }
  if (was.ordered && !is.ordered) {
    found.push({
      ...{ level: "break", kind: "ordered", about: name },
      message: `${name} is not ordered, and was: messages of one key run side by side`,
      advice: "Leave it ordered, or give it a new name.",
    });
  }
  return found;
}

/** Returns findings for answers of the new handler that older senders would refuse. */
function answers(name: string, what: string, reader: Described, writer: Described): Finding[] {
  const found = refusals(name, `the new ${what} in older senders`, reader, writer, OLD_SENDERS, what);
  // without a schema there is no finding, because only the handler's types decide which values it answers with
  return writer === undefined ? [] : found;
}

/** Returns a finding if the old version, after a rollback, could not read data that the new version has stored. */
function rollback(about: string, reader: Described, writer: Described): Finding[] {
  const verdict = judge(reader, writer);
  if (verdict.reads !== "no") return [];
  const message = `${about}: after a rollback, what was stored until then would be refused: ${
    verdict.paths.join("; ")
  }`;
  return [{
    ...{ level: "note", kind: "rollback", about, message },
    advice: "Deploy what reads it first, and what writes it when no older version is left.",
  }];
}

function compareSubscriptions(before: Description, after: Description): Finding[] {
  const found: Finding[] = [];
  for (const [name, events] of Object.entries(before.subscriptions)) {
    const is = own(after.subscriptions, name) ?? [];
    for (const event of events.filter((event) => !is.includes(event))) {
      const [moved] = Object.entries(after.subscriptions).find(([other, list]) =>
        list.includes(event) && !own(before.subscriptions, other)?.includes(event)
      ) ?? [];
      found.push({
        ...{ level: "break", kind: "subscription", about: name },
        message: moved === undefined
          ? `nobody handles ${event} in the subscription ${name}: what it has not handled is left`
          : `the subscription to ${event} was ${name}, and is ${moved}, which begins anew: what ${name} has not handled is left`,
        advice: moved === undefined
          ? "Keep the handler until nothing waits, then `catga subscriptions remove`."
          : `Leave it its name, or rewind ${moved} after the deploy.`,
      });
    }
  }
  return found;
}

/** Notes the events that a subscription handles from now on: after a rollback nobody handles what it has of them. */
function compareAddedEvents(before: Description, after: Description): Finding[] {
  return Object.entries(after.subscriptions).flatMap(([name, events]) => {
    const was = own(before.subscriptions, name);
    return was === undefined ? [] : events.filter((event) => !was.includes(event)).map((event): Finding => ({
      ...{ level: "note", kind: "subscription", about: name },
      message:
        `the subscription ${name} handles ${event}, too: after a rollback its messages wait there, and 40,000 of ` +
        "them hold up all others",
      advice: `Handle ${event} in a subscription of its own (another name), or rewind ${name} to now after a rollback.`,
    }));
  });
}

function nobodyHandles(kind: string, name: string): Finding {
  return {
    ...{ level: "break", kind: "handler-gone", about: name },
    message: `nobody handles the ${kind} ${name} any more`,
    advice: "Keep its handler until nobody sends it.",
  };
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

const SENDERS =
  "Read both: make new members optional, or give them a default; require them when no older sender is left.";
const PAST =
  "Read what is stored for good: new members optional or with a default, old names and values in the schema.";
const HANDLER = "Deploy the handler that reads it first.";
const ANSWERS = "Deploy the handler that answers so first, or read both.";
const OLD_SENDERS = "Answer what older senders read, too, until none is left.";
